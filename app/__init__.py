"""The face: HTTP API and command line. Knows no torch."""
