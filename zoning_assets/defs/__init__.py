"""Dagster as a coat: the only place that imports it. One file a Dagster word.

What belongs here: partitions, assets, resources, and what the UI shows of them. What does not: anything that decides
what happens to a row.

Every process of Dagster imports the definitions: the UI, the daemon, each run. What only a step or a tick works with
(the pipeline, pandas, GDAL) is imported in the step or the tick.
"""
