"""GeoJSON files made ready for GDAL."""
