"""The object store: raw harvests, normalized and validated tables."""
