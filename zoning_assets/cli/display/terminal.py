"""Whether a person reads stdout on a terminal, and text that a portal sent, fit for one. Imports nothing."""

import sys


def is_terminal() -> bool:
    """Whether a person reads stdout on a terminal, where lines must be short."""
    return sys.stdout.isatty()


def printable(text: str) -> str:
    """A text without control characters: what a portal sends must not command a terminal."""
    return "".join(each if each.isprintable() else " " for each in text)
