"""Files from portals: what they are, and their rows in batches."""
