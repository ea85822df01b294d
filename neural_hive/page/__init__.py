"""The page: what the system does, has done and why, for people with a browser."""
