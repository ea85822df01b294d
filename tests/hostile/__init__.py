"""What arrives from outside, as bad as it can be made."""
