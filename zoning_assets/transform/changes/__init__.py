"""What a release really changed."""
