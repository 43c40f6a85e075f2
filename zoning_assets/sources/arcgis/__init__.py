"""ArcGIS FeatureServer and MapServer layers."""
