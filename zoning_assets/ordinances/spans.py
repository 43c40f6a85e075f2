"""Pieces of a text that do not overlap, and the sentence before an offset."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from zoning_assets.errors import DocumentRefused


class _Piece(Protocol):
    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


Piece = TypeVar("Piece", bound=_Piece)
#: How often a word that begins a statement may stand in a text: some thousand times, and each so many characters.
_FREE_MATCHES, _CHARACTERS_EACH = 5_000, 200
_SENTENCE = re.compile(r" \| |[.;!?]\s+(?=[A-Z(\d])|\n\s*\n|\n(?=[A-Z0-9#•*-][^\n]{0,60}:)")


def disjoint(pieces: Iterable[Piece]) -> list[Piece]:
    """Those that overlap none before them in the iterable, in the text's order."""
    starts: list[int] = []
    kept: list[Piece] = []
    for piece in pieces:
        at = bisect_right(starts, piece.start)
        if (at and kept[at - 1].end > piece.start) or (at < len(kept) and starts[at] < piece.end):
            continue
        starts.insert(at, piece.start)
        kept.insert(at, piece)
    return kept


def lead(text: str, start: int, most: int) -> str:
    """What a sentence says before an offset, at most so many characters."""
    begins = max(start - most, 0)
    # One character more, as a sentence's end is known by how the next begins.
    ends = [begins + each.end() for each in _SENTENCE.finditer(text[begins : start + 1])]
    return text[max([begins, *(end for end in ends if end <= start)]) : start]


def folded(text: str) -> str:
    """The text in small letters, of the same length: three times faster to search than without regard to case."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(each.lower() if len(each.lower()) == 1 else each for each in text)


def sparse(matches: Iterable[re.Match[str]], text: str) -> Iterator[re.Match[str]]:
    """The matches, of which prose has few: each is looked at closely, which a hostile text would make slow.

    Raises:
        DocumentRefused: there are more than prose ever has.
    """
    most = _FREE_MATCHES + len(text) // _CHARACTERS_EACH
    for count, match in enumerate(matches):
        if count >= most:
            what = f"repeats words like {' '.join(match[0].split())[:30]!r} more than {most:,} times"
            raise DocumentRefused(what, where="document", do="look at it: it is no prose")
        yield match
