"""One module a command: its arguments and what it does.

Each is light to import, and imports what it needs when it runs, so that `--help` answers at once.
"""
