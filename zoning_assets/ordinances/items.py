"""A document in its items, so that no case takes what is said of its neighbour."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from zoning_assets.ordinances.found import CASE, ORDINANCE, REFERENCE, Mention

_NUMBER = r"(?:\d{1,2}(?:\.\d{1,2})?|[IVX]{1,5}|[A-Z])[.)]:?"
#: A line that begins an item even though it names no case.
_HEADING = re.compile(
    rf"^[ ]?(?:(?:{_NUMBER}|[-•*])\s)?(?:(?:agenda\s)?item\s(?:no\.?\s)?\#?\d{{1,3}}\b|nos?\.\s\d{{1,3}}(?:\s?(?:,|and|&)\s?\d{{1,3}})?\s?$|"
    r"(?:old|new|unfinished|other)\sbusiness\b|public\shearings?\s?:?$|consent\s(?:agenda|calendar)\b|call\sto\sorder\b|roll\scall\b|"
    r"adjourn(?:ment)?\b|(?:approval|consideration)\sof\s(?:the\s)?minutes\b|communications\b|public\scomments?\s?:?$|staff\sreports?\s?:?$|"
    r"director[’']s\sreport|announcements\b|(?:the\s)?meeting\s(?:was\s)?adjourned\b)",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBERED = re.compile(
    rf"^[ ]?{_NUMBER}\s(?=[^\n]{{0,120}}\b(?:rezon|public\shearing|zone\schange|map\samendment|text\samendment|variance|special\suse|"
    r"conditional\suse|special\sexception|site\splan|plat\b|annexation|request\b|application\b|petition\b|an\sordinance|case\b|"
    r"consider|street\svacation|subdivision|discussion\b|presentation\b|election\b))",
    re.IGNORECASE | re.MULTILINE,
)
#: What may stand before a case number on the line that begins its item.
_BEFORE_NUMBER = re.compile(
    rf"[ ]?(?:(?:{_NUMBER}|[-•*#]|CD\s\d{{1,2}}|nos?\.\s\d{{1,3}}|public\shearing|rezoning|zoning|planning|case|cases|petition|application|docket|file|item|"
    r"ordinance|council|legislative|agenda|project|ulurp|matter|number|zone\schange|zone\smap\samendment|text\samendment|map\samendment|amendment|"
    r"borough\sof\s\w+|\w{1,12}\scounty|old\sbusiness|new\sbusiness|nos?\.?|\d{1,3}|staff\sreport|variance|special\suse|conditional\suse|"
    r"permit|request|continued)[\s:#.,()|–—-]{0,4}){0,8}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Item:
    """One case's pieces of the text: minutes may come back to a case."""

    number: str  # the case or ordinance its heading names; empty where it names none
    pieces: tuple[tuple[int, int], ...]

    def holds(self, offset: int) -> bool:
        """Whether an offset is in this item."""
        return any(start <= offset < end for start, end in self.pieces)


def items(text: str, mentions: Sequence[Mention]) -> list[Item]:
    """The items in order. What stands before the first heading is an item without a number."""
    starts = {match.start(): "" for form in (_HEADING, _NUMBERED) for match in form.finditer(text)}
    starts |= {start: number for start, number in _number_lines(text, mentions).items()}
    found: list[tuple[str, int]] = [("", 0)]
    for start, number in sorted(starts.items()):
        if number and number == found[-1][0]:
            continue
        if number and not found[-1][0] and _is_heading_only(text, found[-1][1], start):
            found[-1] = (number, found[-1][1])
            continue
        found.append((number, start))
    ends = [start for _, start in found[1:]] + [len(text)]
    return _merged([Item(number, ((start, end),)) for (number, start), end in zip(found, ends, strict=True)])


def _number_lines(text: str, mentions: Sequence[Mention]) -> dict[int, str]:
    """Starts of lines that a case's or an ordinance's number begins."""
    lines: dict[int, str] = {}
    for mention in mentions:
        start = text.rfind("\n", max(mention.start - 120, 0), mention.start) + 1
        is_own = mention.kind in {CASE, ORDINANCE} and mention.role != REFERENCE and mention.value
        if is_own and (start or mention.start <= 120) and _BEFORE_NUMBER.fullmatch(text, start, mention.start):
            lines.setdefault(start, str(mention.value))
    return lines


def _is_heading_only(text: str, start: int, end: int) -> bool:
    """Whether between a heading and the number under it there is nothing: they are one heading."""
    return start > 0 and end - start <= 60


def _merged(found: Sequence[Item]) -> list[Item]:
    """Items of the same number as one."""
    numbered: dict[str, list[tuple[int, int]]] = {}
    for at, item in enumerate(found):
        numbered.setdefault(item.number or f"\0{at}", []).extend(item.pieces)
    return [Item("" if number.startswith("\0") else number, tuple(pieces)) for number, pieces in numbered.items()]
