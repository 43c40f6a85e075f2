"""The way of the data: extract, normalize, validate, release gate, publish; change detection. See pipeline.py."""
