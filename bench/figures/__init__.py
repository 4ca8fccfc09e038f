"""The figures of docs/validation.md: each module measures one and draws it as a Vega-Lite spec."""
