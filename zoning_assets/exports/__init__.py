"""Exports of published data: files in the formats that other programs open."""
