"""Shapes: CRS, tiles, validity, overlay, canonical form, pictures."""
