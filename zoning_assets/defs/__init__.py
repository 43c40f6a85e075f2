"""The Dagster definitions. This is the only package that imports Dagster; it has one file per Dagster concept.

What belongs here: partitions, assets, resources, and the metadata that the UI shows. What does not: anything that
decides what happens to a row.

Every Dagster process imports the definitions: the UI, the daemon and each run. Modules that only a step or a sensor
tick needs (the pipeline, pandas, GDAL) are imported inside the step or the tick.
"""
