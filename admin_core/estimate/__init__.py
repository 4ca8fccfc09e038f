"""What a profile of the built-in Transformer will show, from its spec alone; docs/estimate.md."""
