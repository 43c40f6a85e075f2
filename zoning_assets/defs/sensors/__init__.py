"""Dagster sensors, and the pure functions that decide which runs they request."""
