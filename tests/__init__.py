"""The suite. `python -m tests` runs all of it, the way `make test` does."""
