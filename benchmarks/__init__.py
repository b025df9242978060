"""One script per published number: a line a figure, exit code 1 when a must is missed."""
