"""The seal of the log: Merkle trees over its records, and signed checkpoints of them."""
