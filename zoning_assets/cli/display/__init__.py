"""How results look on a terminal, as CSV and as JSON."""
