"""The HTTP API: reads from the read models, writes become messages in the log."""
