"""What `verify` looks at, one file each."""
