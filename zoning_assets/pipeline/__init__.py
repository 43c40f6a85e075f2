"""The stages: extract, normalize, validate, release gate, publish, change detection. Read pipeline.py first."""
