"""Shared by source types that fetch a layer page by page."""
