"""Harvest parcels and zoning from municipal GIS portals into one PostGIS database.

Start with pipeline/pipeline.py, which has the stages in order. docs/glossary.md defines the terms.
"""
