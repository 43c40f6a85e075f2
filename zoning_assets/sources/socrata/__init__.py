"""Socrata datasets."""
