"""The figures of a report, each declared once as a Vega-Lite chart, and how they are drawn."""
