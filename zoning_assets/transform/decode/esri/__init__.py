"""Esri's own forms: JSON, protocol buffers, curves."""
