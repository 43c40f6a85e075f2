"""Certificates: signed evidence of one change, which can be checked without this database."""
