"""What a release looks like, and which checks it must pass."""
