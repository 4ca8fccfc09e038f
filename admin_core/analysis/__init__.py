"""The measurements of the paper, one a file."""
