"""Batches of tokens, from real text and from rules."""
