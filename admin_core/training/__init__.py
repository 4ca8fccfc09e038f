"""A short run: optimizers, schedules, the loop."""
