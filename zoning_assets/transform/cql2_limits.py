"""Which CQL2 texts may be given to the parser of the library cql2.

The parser recurses: a text with some thousand signs ends the process with a segmentation fault. And it tries each
parenthesis in several ways: in a text that is not valid, each level of parentheses more than doubles the time. Thirty
levels are hours, and nothing can end the thread. So each text is checked before it is parsed.
"""

import re

#: How often something that nests may occur, and how deep parentheses may be nested, outside of texts and names. Eight
#: levels in a filter of 4,000 characters that is not valid take 0.2 s.
MOST_NESTING, DEEPEST = 60, 8
#: Texts and names in quotes. A doubled quote is a part of them.
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
_NESTING = re.compile(r"[(\[{+*/%^-]|\bnot\b|\bdiv\b", re.IGNORECASE)


def is_too_deep(text: str) -> bool:
    """Whether a filter in CQL2 text nests too deeply, or has a quote without an end, after which nobody can count."""
    bare = _QUOTED.sub(" ", text)
    has_open_quote = "'" in bare or '"' in bare
    return has_open_quote or len(_NESTING.findall(bare)) > MOST_NESTING or _depth(bare) > DEEPEST


def _depth(bare: str) -> int:
    deepest = level = 0
    for each in bare:
        if each in "([":
            level += 1
        elif each in ")]":
            level -= 1
        deepest = max(deepest, level)
    return deepest
