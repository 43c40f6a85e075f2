"""Read files from portals: detect their format, and return their rows in batches."""
