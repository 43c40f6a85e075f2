"""A county that does not exist, and a portal that serves it: for the demo, the tests and the measurements.

What belongs here: deterministic rows with declared flaws, releases with known truth, and an ArcGIS server on loopback.
What does not: anything a real harvest needs; nothing outside tests, demo and benchmarks may rely on this package.
"""
