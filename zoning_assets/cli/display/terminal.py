"""Whether stdout is a terminal, and text without control characters."""

import sys


def is_terminal() -> bool:
    """Whether stdout is a terminal; then lines must be short."""
    return sys.stdout.isatty()


def printable(text: str) -> str:
    """Replace control characters by spaces: text from a portal must not control the terminal."""
    return "".join(each if each.isprintable() else " " for each in text)
