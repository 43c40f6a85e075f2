"""A page's bytes to rows: one reader for each form."""
