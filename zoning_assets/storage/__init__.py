"""Storage: the object store (raw, normalized and validated data) and PostGIS.

What belongs here: reading and writing, atomically. What does not: validation of what is written.
"""
