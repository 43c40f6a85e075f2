"""Compliance reports: the numbers (compliance_report.py), the maps, and the document as HTML or PDF."""
