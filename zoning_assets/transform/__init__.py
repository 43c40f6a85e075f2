"""Pure functions: table in, table out. No clock, no network, no files, no randomness, no logging.

What belongs here: how a page is read, what a row becomes, which shape is valid, which tile owns what, what
equals what. What does not: where rows come from and where they go.
"""
