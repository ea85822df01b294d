"""The demo: one plan that works, one that fails and is undone, one that is paused and cancelled; all of it for real."""
