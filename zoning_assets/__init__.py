"""Harvests parcels and zoning from municipal GIS portals into one PostGIS database that is true.

Read `pipeline.py` first: it is the data's way, in order. docs/ has the terms and the layers.
"""
