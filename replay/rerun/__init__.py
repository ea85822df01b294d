"""Runs what was decided again: to see that it is the same, and to see what it would have been otherwise."""
