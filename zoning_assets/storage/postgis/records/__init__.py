"""Tables beside the published rows: one module for each kind of record."""
