"""Will this Transformer train? The analyses of Liu et al., EMNLP 2020, on any device torch knows.

Import from the modules: `spec`, `report`, `size` and `errors` load without torch.
"""
