"""From an address to a jurisdiction file that works, and from a file that broke to a patch.

What belongs here: recognising portals, choosing layers and columns by their names and values, writing the file. What
does not: harvesting (sources/, pipeline/), and what a jurisdiction file may say (jurisdictions/).
Everything proposed is a
guess with its reasons; a person decides.
"""
