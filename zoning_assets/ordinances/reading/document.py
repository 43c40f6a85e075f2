"""The text of a document and the offsets of its pages; pages are joined to one text here."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

_DASHES = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"), "") | dict.fromkeys(map(ord, "‐‑‒–−"), "-")
_PAGE_NUMBER = re.compile(
    r"[^\n]{0,90}\bpage\s\d{1,4}(?:\sof\s\d{1,4})?\b[^\n]{0,30}|[-\s]{0,4}\d{1,4}[-\s]{0,4}", re.IGNORECASE
)
#: A word that is hyphenated at the end of a line. Before a digit or a capital letter, the hyphen is part of a code.
_BROKEN_WORD = re.compile(r"(?<=[a-z])-[ ]?\n[ ]?(?=[a-z])")
_BROKEN_CODE = re.compile(r"(?<=\w)-[ ]?\n[ ]?(?=[A-Z0-9])")
#: The number of lines at the top and at the bottom of a page that may be headers and footers.
_MARGIN_LINES = 2


@dataclass(frozen=True)
class Document:
    """A text without page breaks; `starts[i]` is the offset at which page i + 1 starts."""

    text: str
    starts: tuple[int, ...] = (0,)

    def page(self, offset: int) -> int:
        """Return the number of the page, from 1, that contains an offset of the text."""
        return max(bisect_right(self.starts, offset), 1)


def join_pages(pages: Sequence[str]) -> Document:
    """Join pages to one text, without page numbers, repeated headers and footers, and hyphenation.

    A repeated header is kept on the first page, a repeated footer on the last page: it may contain an ordinance number.
    """
    lines = [[line for line in _normalize(page).split("\n") if line.strip()] for page in pages]
    heads = _repeated([page[:_MARGIN_LINES] for page in lines])
    feet = _repeated([page[-_MARGIN_LINES:] for page in lines])
    kept = [_join_lines(_without_margins(page, number, len(lines), heads, feet)) for number, page in enumerate(lines)]
    starts = accumulate((len(page) + 1 for page in kept[:-1]), initial=0)
    return Document("\n".join(kept), tuple(starts))


def _normalize(text: str) -> str:
    """Apply Unicode NFKC, remove invisible characters, and use one kind of dash and of space."""
    text = unicodedata.normalize("NFKC", text).translate(_DASHES)
    text = re.sub(r"[^\S\n]+", " ", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(each if each.isprintable() or each == "\n" else " " for each in text)


def _repeated(margins: Sequence[Sequence[str]]) -> set[str]:
    """Return the lines that are in the margins of more than half of the pages."""
    counts: dict[str, int] = {}
    for margin in margins:
        for line in set(map(_without_page_number, margin)):
            counts[line] = counts.get(line, 0) + 1
    return {line for line, count in counts.items() if count > max(len(margins) / 2, 1)}


def _without_page_number(line: str) -> str:
    """Return a line without a page number at its start or end."""
    return re.sub(r"^\d{1,4}\s|\s\d{1,4}$", "", line.strip())


def _without_margins(page: list[str], number: int, pages: int, heads: set[str], feet: set[str]) -> list[str]:
    last = len(page) - _MARGIN_LINES
    return [
        line
        for at, line in enumerate(page)
        if not (
            (at < _MARGIN_LINES or at >= last)
            and pages > 1
            and (
                _PAGE_NUMBER.fullmatch(line)
                or (at < _MARGIN_LINES and number > 0 and _without_page_number(line) in heads)
                or (at >= last and number < pages - 1 and _without_page_number(line) in feet)
            )
        )
    ]


def _join_lines(lines: list[str]) -> str:
    return _BROKEN_CODE.sub("-", _BROKEN_WORD.sub("", "\n".join(line.strip() for line in lines)))
