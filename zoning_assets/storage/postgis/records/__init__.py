"""Records besides the published rows: one module for each kind."""
