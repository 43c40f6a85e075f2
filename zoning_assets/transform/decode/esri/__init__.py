"""Decode Esri's own formats: JSON, protocol buffers, curves."""
