"""Everything that `zoning up` runs, as programs of their own that may be killed, and what the tables must say then."""
