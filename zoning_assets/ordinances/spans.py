"""Pieces of a text that do not overlap."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Protocol, TypeVar


class _Piece(Protocol):
    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


Piece = TypeVar("Piece", bound=_Piece)


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
