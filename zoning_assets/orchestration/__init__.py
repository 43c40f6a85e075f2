"""Dagster as a coat: the only place that imports it. One file a Dagster word.

What belongs here: partitions, assets, resources, and what the UI shows of them. What does not: anything that decides
what happens to a row.
"""
