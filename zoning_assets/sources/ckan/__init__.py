"""CKAN resources."""
