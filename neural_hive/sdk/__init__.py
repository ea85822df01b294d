"""For programs that take part: agents that register, tell that they live, and report how they did."""
