"""Decode the bytes of a page into rows: one module per format."""
