"""Text that a portal sent, fit for a terminal."""


def printable(text: str) -> str:
    """A text without control characters: what a portal sends must not command a terminal."""
    return "".join(each if each.isprintable() else " " for each in text)
