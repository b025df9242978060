"""One script per published number. Each prints a line a figure and exits 1 when a must is missed."""
