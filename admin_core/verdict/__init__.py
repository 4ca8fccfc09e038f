"""From measurements to a judgement."""
