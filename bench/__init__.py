"""Measurements that the documentation quotes, each a command: ``python -m bench.NAME``."""
