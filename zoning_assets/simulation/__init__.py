"""A county that does not exist, and a portal that serves it, for the demo, the tests and the benchmarks.

What belongs here: deterministic rows with known flaws, releases with known changes, and an ArcGIS server on loopback.
What does not: anything that a harvest of a real portal needs.
"""
