"""Output of results: tables, CSV and JSON."""
