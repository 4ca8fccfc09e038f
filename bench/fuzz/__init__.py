"""Requests that nobody would write, by the thousand, made from the service's own document."""
