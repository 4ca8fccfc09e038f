"""The engine: jobs that survive. Torch is loaded only inside a task."""
