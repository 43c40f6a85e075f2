"""Shared by source types that fetch a layer page by page.

paged_layer.py proves that the pages of these portals are complete; sources/completeness.py lists the checks of all ways
of harvesting.
"""
