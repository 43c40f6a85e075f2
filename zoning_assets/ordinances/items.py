"""Split a document into items (one per case), so that the mentions of one case are not assigned to another."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from zoning_assets.ordinances.findings import CASE, ORDINANCE, REFERENCE, Mention
from zoning_assets.ordinances.spans import Piece

_NUMBER = r"(?:\d{1,2}(?:\.\d{1,2})?|[IVX]{1,5}|[A-Z])[.)]:?"
#: A line that starts an item without a case number.
_HEADING = re.compile(
    rf"^[ ]?(?:(?:{_NUMBER}|[-•*])\s)?(?:(?:agenda\s)?item\s(?:no\.?\s)?\#?\d{{1,3}}\b|"
    rf"nos?\.\s\d{{1,3}}(?:\s?(?:,|and|&)\s?\d{{1,3}})?\s?$|"
    r"(?:old|new|unfinished|other)\sbusiness\b|public\shearings\s?:?$|consent\s(?:agenda|calendar)\b|"
    r"call\sto\sorder\b|roll\scall\b|"
    r"adjourn(?:ment)?\b|(?:approval|consideration)\sof\s(?:the\s)?minutes\b|communications\b|"
    r"public\scomments?\s?:?$|staff\sreports?\s?:?$|"
    r"director[’']s\sreport|announcements\b|(?:the\s)?meeting\s(?:was\s)?adjourned\b)",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBERED = re.compile(
    rf"^[ ]?{_NUMBER}\s(?=[^\n]{{0,120}}\b(?:rezon|public\shearing|zone\schange|map\samendment|"
    rf"text\samendment|variance|special\suse|"
    r"conditional\suse|special\sexception|site\splan|plat\b|annexation|request\b|application\b|petition\b|"
    r"an\sordinance|case\b|"
    r"consider|street\svacation|subdivision|discussion\b|presentation\b|election\b))",
    re.IGNORECASE | re.MULTILINE,
)
#: Text that may be before a case number on the line that starts its item.
_BEFORE_NUMBER = re.compile(
    rf"[ ]?(?:(?:{_NUMBER}|[-•*#]|CD\s\d{{1,2}}|nos?\.\s\d{{1,3}}|public\shearing|rezoning|zoning|planning|"
    rf"case|cases|petition|application|docket|file|item|"
    r"ordinance|council|legislative|agenda|project|ulurp|matter|number|zone\schange|zone\smap\samendment|"
    r"text\samendment|map\samendment|amendment|"
    r"borough\sof\s\w+|\w{1,12}\scounty|old\sbusiness|new\sbusiness|nos?\.?|\d{1,3}|staff\sreport|variance|"
    r"special\suse|conditional\suse|"
    r"permit|request|continued)[\s:#.,()|–—-]{0,4}){0,8}",
    re.IGNORECASE,
)

#: A number within this distance below a heading belongs to the heading.
_HEADING_CHARACTERS = 60
#: A shorter line was not broken because of its length.
_LONG_LINE = 55
#: The numbers of an item that are compared to decide whether a line continues the item.
_MAX_NUMBERS = 20


@dataclass(frozen=True)
class Item:
    """The pieces of the text about one case. Minutes may return to a case, so there may be several pieces."""

    number: str  # the case or ordinance number in its heading; empty if there is none
    pieces: tuple[tuple[int, int], ...]


def split_items(text: str, mentions: Sequence[Mention]) -> list[Item]:
    """Split a text into items, in order. The text before the first heading is an item too."""
    own = [each for each in mentions if each.kind in {CASE, ORDINANCE} and each.role != REFERENCE]
    starts = {match.start(): "" for form in (_HEADING, _NUMBERED) for match in form.finditer(text)}
    starts.update(_number_lines(text, own))
    found = _item_starts(starts, own)
    ends = [start for _, start in found[1:]] + [len(text)]
    return _merge_by_number([Item(number, ((start, end),)) for (number, start), end in zip(found, ends, strict=True)])


def _item_starts(starts: Mapping[int, str], own: Sequence[Mention]) -> list[tuple[str, int]]:
    """Return number and start of each item. A line with the number of its own item starts no new item."""
    at = [each.start for each in own]
    first = min(starts, default=len(own) and own[-1].end)
    found = [(next((str(each.value) for each in own if each.start < first), ""), 0)]
    for start, number in sorted(starts.items()):
        named = own[(begins := bisect_left(at, found[-1][1])) : min(bisect_left(at, start), begins + _MAX_NUMBERS)]
        if number and {each.value for each in named if each.kind == _kind(own, at, start)} == {number}:
            continue
        is_heading_only = number and not found[-1][0] and 0 < start - found[-1][1] <= _HEADING_CHARACTERS
        if is_heading_only and found[-1][1]:
            found[-1] = (number, found[-1][1])
        else:
            found.append((number, start))
    return found


def _kind(own: Sequence[Mention], at: Sequence[int], start: int) -> str:
    return own[bisect_left(at, start)].kind


def _number_lines(text: str, own: Sequence[Mention]) -> dict[int, str]:
    """Return the starts of lines that start with a number, except lines that continue a sentence."""
    lines: dict[int, str] = {}
    for mention in own:
        start = text.rfind("\n", max(mention.start - 120, 0), mention.start) + 1
        is_line = start or mention.start <= 120
        if is_line and _BEFORE_NUMBER.fullmatch(text, start, mention.start) and not _is_continuation(text, start):
            lines.setdefault(start, str(mention.value))
    return lines


def _is_continuation(text: str, start: int) -> bool:
    """Whether the line before is long and ends within a sentence."""
    before = text[max(start - 1 - _LONG_LINE, 0) : max(start - 1, 0)]
    is_long = len(before) == _LONG_LINE and not {"\n", "|"} & {*before}
    return is_long and (before[-1] in ",(-" or before[-1].islower())


def _merge_by_number(found: Sequence[Item]) -> list[Item]:
    """Merge items with the same number."""
    numbered: dict[str, list[tuple[int, int]]] = {}
    for at, item in enumerate(found):
        numbered.setdefault(item.number or f"\0{at}", []).extend(item.pieces)
    return [Item("" if number.startswith("\0") else number, tuple(pieces)) for number, pieces in numbered.items()]


def assign_to_items(parts: Sequence[Item], found: Iterable[Piece]) -> list[list[Piece]]:
    """Return, for each item, the mentions or statements that start in it."""
    owners = sorted((start, at) for at, part in enumerate(parts) for start, _ in part.pieces)
    starts = [start for start, _ in owners]
    own: list[list[Piece]] = [[] for _ in parts]
    for each in found:
        own[owners[bisect_right(starts, each.start) - 1][1]].append(each)
    return own
