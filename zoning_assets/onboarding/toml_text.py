"""Text of others as TOML: a quoted string, and a comment. Neither can end its line or its quotes."""

import json

#: Characters of a comment.
_LONGEST = 80


def quoted(text: str) -> str:
    """A TOML basic string; the escapes of JSON are valid in TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def remark(text: str, most: int = _LONGEST) -> str:
    """Text from a portal or a catalogue as a comment: one line of printable characters, cut to `most`."""
    return printable(text)[:most]


def printable(text: str) -> str:
    """The text with a space for each character that is not printable: controls, line ends, marks that turn the
    direction of writing, halves of surrogate pairs."""
    return "".join(each if each.isprintable() else " " for each in text)
