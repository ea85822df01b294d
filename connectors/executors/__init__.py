"""What runs a ticket that names no command: one program per kind of work, started as a process like any other."""
