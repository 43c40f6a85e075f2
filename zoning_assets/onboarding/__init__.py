"""Propose a jurisdiction file for an address, and a patch for a file whose feed broke.

What belongs here: detecting the type of a portal, choosing layers and columns by their names and values, writing the
file. What does not: harvesting (sources/, pipeline/), and the rules of a jurisdiction file (jurisdictions/).

Every proposal is a guess and states its reasons; a person decides.
"""
