"""Read JSON of any size in pieces, and find the bytes of a piece that are within a text.

What belongs here: where a piece may end, quotes and escapes. What does not: the meaning of the JSON.
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_QUOTE, _OBJECT = b'"{'


def pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The file in pieces of `size` bytes, or one more: no piece ends between a backslash and the escaped byte."""
    while piece := file.read(size):
        backslashes = len(piece) - len(piece.rstrip(b"\\"))
        yield piece + file.read(1) if backslashes % 2 else piece


def without_escapes(piece: bytes) -> bytes:
    """A piece of the same length in which escaped bytes are replaced, so that each quote begins or ends a text."""
    return _ESCAPED.sub(b"__", piece) if b"\\" in piece else piece


def within_text(letters: npt.NDArray[np.uint8], quoted: bool) -> npt.NDArray[Any]:
    """Whether each byte of a piece without escapes is within a text; its opening quote is, its closing quote is not.

    Args:
        letters: the bytes.
        quoted: whether a text of the previous piece continues in this one.
    """
    odd: npt.NDArray[Any] = (np.cumsum(letters == _QUOTE, dtype=np.uint8) + np.uint8(quoted)) & 1 == 1
    return odd


def between_objects(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The file in parts that begin with an object and never within a text. A part grows until an object begins."""
    held, quoted = list[bytes](), False
    for piece in pieces(file, size):
        letters = np.frombuffer(without_escapes(piece), dtype=np.uint8)
        within = within_text(letters, quoted)
        quoted = bool(within[-1])
        starts = np.flatnonzero((letters == _OBJECT) & ~within)
        if len(starts):
            cut = int(starts[-1])
            yield b"".join([*held, piece[:cut]])
            held = [piece[cut:]]
        else:
            held.append(piece)
    yield b"".join(held)
