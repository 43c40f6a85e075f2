"""Find statements that change a district: the old codes, the new codes, and their positions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from zoning_assets.ordinances import district_codes
from zoning_assets.ordinances.district_codes import Span
from zoning_assets.ordinances.findings import CodeChange
from zoning_assets.ordinances.spans import limited, sentence_before, without_overlaps


@dataclass(frozen=True)
class Statement:
    """One statement of a change: its extent, the spans of old and new codes, and its kind (see `CodeChange`)."""

    start: int
    end: int
    old: tuple[Span, ...]
    new: tuple[Span, ...]
    kind: str = "rezoning"

    def change(self, text: str) -> CodeChange:
        """Return the codes."""
        old, new = (
            tuple(district_codes.normalize_code(text[slice(*span)]) for span in spans) for spans in (self.old, self.new)
        )
        return CodeChange(old, new, self.kind)


_FROM = re.compile(
    r"\bfrom:?\s(?!within\b)|\b(?:revis|chang|amend|convert|rezon)\w{0,6}\s(?:the\s|an?\s)?(?:existing|current)\s",
    re.IGNORECASE,
)
_TO = re.compile(r"(?<!subject )(?<!pursuant )(?<!adjacent )(?<!next )(?<!due )\bto:?\s", re.IGNORECASE)
_VERB = re.compile(r"rezon|re-zon|reclassif|chang|amend|revis|redesignat|convert|remap|classif", re.IGNORECASE)
_SUBJECT = re.compile(
    r"rezon|\bzon(?:e|ed|ing)\b|reclassif|classification|district|map amendment|re-zon", re.IGNORECASE
)
#: The end of the list of new codes.
_NEW_ENDS = re.compile(
    r"[.;](?:\s|$)|\n\s*\n|\n(?=[A-Z][^\n]{0,40}:|\d{1,2}[.)]\s)|\s\|\s|\b(?:for|property|properties|on|at|"
    r"located|bounded|of|where|which|"
    r"subject|with|upon|in|by|along|from|to|the\sfollowing|consisting|approximately|containing|within|"
    r"would|was|were|is|as|"
    r"said|under|that|has|had|be|motion|case|petition|ordinance)\b",
    re.IGNORECASE,
)
_OLD_ENDS = re.compile(r"[.;](?:\s{1,3}[A-Z]|$)|\n\s{0,3}\n")
_SHOW = re.compile(r"\bto\sshow\s|\bshowing\s", re.IGNORECASE)
_WHERE = re.compile(r"\bwhere\s", re.IGNORECASE)
_SHOWN = re.compile(r"\b(?:currently|presently|now|is|are)\b[^.;]{0,20}\bshown\b", re.IGNORECASE)
_WITHIN = re.compile(
    r"\b(?P<verb>establish|eliminat|remov)\w{0,5}\s(?:from\s)?within\s(?:an?\s|the\s)?(?:existing\s|proposed\s)?"
    r"(?P<base>[A-Z][\w./-]{0,8})\sDistricts?\s(?:an?\s)",
    re.IGNORECASE,
)
_SPECIAL = re.compile(r"\bestablish\w{0,3}\s(?:an?\s|the\s)Special\s[^.;\n(]{3,60}\s?\((?=[A-Z])", re.IGNORECASE)
_FIELD_OLD = re.compile(
    r"\b(?:existing|current|present)\s(?:zoning|zone|district)(?:\s(?:district|classification|"
    r"designation))?\s?[:|]\s?",
    re.IGNORECASE,
)
_FIELD_NEW = re.compile(
    r"\b(?:proposed|requested)\s(?:zoning|zone|district)(?:\s(?:district|classification|designation))?\s?[:|]\s?",
    re.IGNORECASE,
)
_FIELD_ENDS = re.compile(r"\n|\s\|\s|[.;](?:\s|$)|\b(?:proposed|requested|existing|current)\b", re.IGNORECASE)
_INITIAL = re.compile(
    r"\b(?:initial|original|permanent)\szoning\s(?:classification\s|district\s|designation\s)?(?:of|to|as)\s|"
    r"\b(?:assign\w{0,3}|zoned|zone)\s(?:(?:it|the|said|annexed|property|land|territory|area)\s){0,3}(?:as|"
    r"to)\s(?=[^.;]{0,80}\bannex)|"
    r"\bannex[^.;]{0,160}?\b(?:zon(?:ed|ing|e)|classif\w{1,7})\s(?:(?:it|the|same|said|property|"
    r"land)\s){0,3}(?:as|to|of)\s",
    re.IGNORECASE,
)
_REZONE_TO = re.compile(r"\brezon(?:e|ed|ing)\b", re.IGNORECASE)
_SHORT = re.compile(
    r"(?<![\w-])(?P<old>[A-Z]{1,5}-?\d[\w./-]{0,8})\s(?:District\s)?to\s(?:an?\s|"
    r"the\s)?(?P<new>[A-Z]{1,5}-?\d[\w./-]{0,8})(?![\w-])"
)
#: Words before a change which show that it is in the past, denied or only possible.
_NOT_A_FACT = re.compile(
    r"\b(?:previously|formerly|originally|had\sbeen|history|last\srezoned|was\srezoned\sin|in\sthe\spast|"
    r"could|might|for\sexample|"
    r"such\sas|rang(?:e|es|ed|ing)|var(?:y|ies|ying)|surrounding|e\.g|hypothetical\w{0,4}|instead\sof|"
    r"rather\sthan|not|never|nor|neither|without|no|if|years?\sago|option|"
    r"alternatives?|scenarios?|considered)\b",
    re.IGNORECASE,
)


def find_statements(text: str) -> list[Statement]:
    """Return all statements of a change, in the order of the text; they do not overlap."""
    finders = (
        _from_shown_map,
        _from_overlay,
        _from_from_to,
        _from_fields,
        _from_heading,
        _from_annexation,
        _from_rezone_to,
    )
    return without_overlaps(each for finder in finders for each in finder(text))


def _is_real(text: str, start: int) -> bool:
    return not _NOT_A_FACT.search(sentence_before(text, start, 120))


def _end_of_piece(text: str, start: int, most: int, ends: re.Pattern[str]) -> int:
    """Return the end of the piece that starts at an offset."""
    end = ends.search(text, start, start + most)
    return end.start() if end else min(start + most, len(text))


def _codes(text: str, start: int, end: int) -> tuple[Span, ...]:
    return tuple(district_codes.find_codes(text, start, end))


def _from_from_to(text: str) -> Iterator[Statement]:
    for match in limited(_FROM.finditer(text), text):
        ends = _end_of_piece(text, match.end(), 260, _OLD_ENDS)
        to = _TO.search(text, match.end(), ends)
        old = _codes(text, match.end(), to.start()) if to else ()
        if not to or not old or not _is_real(text, match.start()):
            continue
        end = _end_of_piece(text, to.end(), 200, _NEW_ENDS)
        new = _codes(text, to.end(), end)
        sentence = sentence_before(text, match.start(), 400) + text[match.start() : end + 30]
        is_stated = ":" in match[0] or (_SUBJECT.search(sentence) and _VERB.search(sentence))
        is_sure = new or _SUBJECT.search(text, match.end(), to.start())
        if is_stated and is_sure and not district_codes.has_other_numbers(text, to.end(), end):
            yield Statement(match.start(), end, old, new)


def _from_shown_map(text: str) -> Iterator[Statement]:
    """Detroit: to show an SD2 zoning classification where a B4 zoning classification is currently shown."""
    for match in limited(_SHOW.finditer(text), text):
        where = _WHERE.search(text, match.end(), match.end() + 300)
        shown = _SHOWN.search(text, where.end(), where.end() + 300) if where else None
        if where and shown:
            new, old = _codes(text, match.end(), where.start()), _codes(text, where.end(), shown.start())
            if new and old and _is_real(text, match.start()):
                yield Statement(match.start(), shown.end(), old, new)


def _from_overlay(text: str) -> Iterator[Statement]:
    """New York: commercial overlays, which are added or removed while the district stays, and special districts."""
    for match in limited(_WITHIN.finditer(text), text):
        end = _end_of_piece(text, match.end(), 60, _NEW_ENDS)
        spans = _codes(text, match.end(), end)
        if spans and _is_real(text, match.start()):
            added = match["verb"].lower() == "establish"
            yield Statement(match.start(), end, () if added else spans, spans if added else (), "overlay")
    for match in limited(_SPECIAL.finditer(text), text):
        spans = _codes(text, match.end() - 1, _end_of_piece(text, match.end(), 20, re.compile(r"(?<=\))")))
        if spans and _is_real(text, match.start()):
            yield Statement(match.start(), spans[-1][1], (), spans, "overlay")


def _from_fields(text: str) -> Iterator[Statement]:
    """Two fields: `Existing zoning: R-1`, then `Proposed zoning: C-2`."""
    for match in limited(_FIELD_NEW.finditer(text), text):
        end = _end_of_piece(text, match.end(), 120, _FIELD_ENDS)
        new = _codes(text, match.end(), end)
        olds = [*_FIELD_OLD.finditer(text, max(match.start() - 400, 0), match.start())]
        if not new or not olds:
            continue
        old = _codes(text, olds[-1].end(), _end_of_piece(text, olds[-1].end(), 120, _FIELD_ENDS))
        if old and not _FIELD_NEW.search(text, olds[-1].end(), match.start()):
            yield Statement(olds[-1].start(), end, old, new)


def _from_annexation(text: str) -> Iterator[Statement]:
    """The first zoning of annexed land."""
    for match in limited(_INITIAL.finditer(text), text):
        end = _end_of_piece(text, match.end(), 80, _NEW_ENDS)
        new = _codes(text, match.end(), end)
        if new and _is_real(text, match.start()):
            yield Statement(match.start(), end, (), new, "initial")


def _from_rezone_to(text: str) -> Iterator[Statement]:
    """`Rezone PLACE to CODE`, without the old code."""
    for match in limited(_REZONE_TO.finditer(text), text):
        ends = _end_of_piece(text, match.end(), 200, _OLD_ENDS)
        for to in _TO.finditer(text, match.end(), ends):
            end = _end_of_piece(text, to.end(), 60, _NEW_ENDS)
            new = _codes(text, to.end(), end)
            if new and new[0][0] - to.end() <= 30 and _is_real(text, match.start()):
                yield Statement(match.start(), end, (), new)
                break


def _from_heading(text: str) -> Iterator[Statement]:
    """The line of a heading: `Rezone - 208 East 3rd South - LDR2 to MDR1`."""
    for match in limited(_SHORT.finditer(text), text):
        line = text[max(text.rfind("\n", 0, match.start()), match.start() - 200) : match.start()]
        old, new = _codes(text, *match.span("old")), _codes(text, *match.span("new"))
        if old and new and _SUBJECT.search(line) and not _NOT_A_FACT.search(line):
            yield Statement(match.start(), match.end(), old, new)
