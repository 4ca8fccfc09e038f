"""What `trimtab` can do, one file for each group of commands; `app.cli` puts them together.

Results go to standard output, and everything else to standard error. Each command imports what it
needs when it runs, so that `--help` and completion are quick.
"""
