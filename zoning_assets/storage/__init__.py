"""Where things are kept: the object store (raw, normalized, validated) and PostGIS.

What belongs here: reading and writing, named by content, whole or not at all. What does not: judging what is written.
"""
