"""Dagster sensors, and the pure decisions behind them."""
