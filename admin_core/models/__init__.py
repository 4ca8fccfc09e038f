"""From a spec to a network with weights."""
