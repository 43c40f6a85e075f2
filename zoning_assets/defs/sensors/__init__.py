"""The Dagster sensors, one module each with the name of its sensor, and the pure functions that decide their runs.

all_sensors.py has the list.
"""
