"""Geometry: CRS, tiles, validity, overlay, canonical form, preview images."""
