"""How deep a CQL2 filter may nest.

The parser of the library cql2 recurses: a text with some thousand parentheses, signs or negations ends the process with
a segmentation fault. So each text is checked before it is parsed.
"""

import re

#: How often something that nests may occur in a filter, outside of its texts.
DEEPEST = 60
_TEXTS = re.compile(r"'(?:[^']|'')*'")
_NESTING = re.compile(r"[(\[{+*/%^-]|\bnot\b|\bdiv\b", re.IGNORECASE)


def is_too_deep(text: str) -> bool:
    """Whether a filter in CQL2 text may nest deeper than the parser can follow."""
    return len(_NESTING.findall(_TEXTS.sub("''", text))) > DEEPEST
