"""Prepare GeoJSON files for GDAL."""
