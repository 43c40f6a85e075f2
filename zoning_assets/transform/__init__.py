"""Pure functions: table in, table out. No clock, network, files, randomness or logging.

What belongs here: decoding of pages, normalization and validation of rows, geometry, tile ownership, quality checks,
and the detection of changes. What does not: where rows are fetched from and where they are stored.
"""
