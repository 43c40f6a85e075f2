"""Opendatasoft exports."""
