"""The demo: a small Python package is prepared, built, tested, scanned, committed, installed and run, for real."""
