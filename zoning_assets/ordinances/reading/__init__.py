"""A document's bytes to running text, in a process with limits."""
