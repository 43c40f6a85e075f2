"""Find the amendment in a matter of Legistar's Web API that is already fetched and decoded.

The title is searched with the rules for documents. The fields of the matter (file, dates, actions) take precedence over
the title.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from zoning_assets.errors import DocumentRefused
from zoning_assets.ordinances import identifiers
from zoning_assets.ordinances.amendment_builder import build_amendment
from zoning_assets.ordinances.amendment_extraction import scan
from zoning_assets.ordinances.amendment_status import DECISIVE
from zoning_assets.ordinances.findings import CASE, DATE, ORDINANCE, STATUS, FoundAmendment, Mention
from zoning_assets.ordinances.reading.document import Document

_MAX_CHARACTERS = 1_000_000
_MAX_HISTORIES = 1_000
_TITLES = ("MatterName", "MatterTitle", "MatterText", "MatterTextPlain")
_DATE_FIELDS = {"MatterIntroDate": "filed", "MatterPassedDate": "adopted", "MatterEnactmentDate": "enacted"}
#: Step -> words in an action or a status of Legistar; the first match is used. `Filed` is not in the list, because it
#: often means `placed on file`, the end of a matter.
_STEPS = (
    ("", r"minutes|referred to staff|rules suspended"),
    ("withdrawn", r"withdraw"),
    ("denied", r"den(?:y|ied|ial)|disapprov|reject|fail|defeat|not adopted|unfavorabl|lost"),
    ("tabled", r"tabled?\b|continu|defer|postpon|(?<!hearing )held$|held in|laid over|hold\b"),
    ("repealed", r"repeal"),
    ("recommended", r"recommend|favorabl"),
    ("enacted", r"enact|ordained|signed by (?:the )?mayor|mayor'?s? (?:office )?(?:signed|approved)"),
    ("hearing", r"hearing|second reading"),
    ("adopted", r"adopt|approv|passed|final passage|pass\b"),
    ("filed", r"introduc|referred|first reading|received|agenda ready"),
)
_POSITIVE = frozenset({"adopted", "enacted", "recommended"})
_COMMISSION = re.compile(
    r"plan(?:ning)?\b.*\b(?:commission|board)|zoning (?:commission|board)|committee", re.IGNORECASE
)


@dataclass(frozen=True)
class _MatterField:
    """One field of a matter: its text and its meaning."""

    text: str
    kind: str
    value: str | None
    role: str = ""


def matter_document(matter: Mapping[str, Any], histories: Sequence[Mapping[str, Any]] = ()) -> Document:
    """Return the text to which the spans of a finding refer: the titles, then one line per field with a meaning.

    Raises:
        DocumentRefused: the input is not a matter with its histories.
    """
    titles, fields = _read(matter, histories)
    return Document("\n".join([titles, *(each.text for each in fields)]))


def find_amendment(matter: Mapping[str, Any], histories: Sequence[Mapping[str, Any]] = ()) -> FoundAmendment | None:
    """Return the amendment in a matter; None if it is not an amendment of the zoning.

    Args:
        matter: one object of `/matters`.
        histories: the objects of `/matters/ID/histories`, in chronological order.

    Raises:
        DocumentRefused: the input is not a matter with its histories.
    """
    titles, fields = _read(matter, histories)
    mentioned, stated = scan(Document(titles))
    own = list(_mentions(fields, len(titles) + 1))
    if any(each.kind == STATUS for each in own):
        mentioned = [each for each in mentioned if each.kind != STATUS]
    found = build_amendment(titles, titles, [*own, *mentioned], stated, ())
    return found and replace(found, mentions=tuple(sorted(found.mentions, key=lambda each: each.start)))


def _mentions(fields: Sequence[_MatterField], start: int) -> Iterator[Mention]:
    for each in fields:
        yield Mention(each.kind, each.text, each.value, start, start + len(each.text), role=each.role)
        start += len(each.text) + 1


def _read(matter: object, histories: object) -> tuple[str, list[_MatterField]]:
    """Return a matter's titles as one text, and its fields."""
    if not isinstance(matter, Mapping) or not isinstance(histories, Sequence) or isinstance(histories, str | bytes):
        raise _refused("is not an object with a list of histories")
    if len(histories) > _MAX_HISTORIES or not all(isinstance(each, Mapping) for each in histories):
        raise _refused(f"has histories that are not objects, or more than {_MAX_HISTORIES:,}")
    titles = dict.fromkeys(filter(None, (_text(matter, name) for name in _TITLES)))
    if not titles:
        raise _refused("has neither a name nor a title")
    return "\n\n".join(titles), [*_numbers(matter), *_steps(matter, histories), *_dates(matter, histories)]


def _numbers(matter: Mapping[str, Any]) -> Iterator[_MatterField]:
    file = _text(matter, "MatterFile")
    if own := next(identifiers.find_ordinances(file), None):
        yield _MatterField(file, ORDINANCE, own.value)
    elif file:
        yield _MatterField(file, CASE, identifiers.normalize_number(file))
    if enacted := _text(matter, "MatterEnactmentNumber"):
        own = next(identifiers.find_ordinances(enacted), None)
        yield _MatterField(enacted, ORDINANCE, own.value if own else identifiers.normalize_number(enacted))


def _steps(matter: Mapping[str, Any], histories: Sequence[Mapping[str, Any]]) -> Iterator[_MatterField]:
    for each in histories:
        action = _text(each, "MatterHistoryActionName")
        step = _step(action, _text(each, "MatterHistoryPassedFlagName"))
        if step == "adopted" and _COMMISSION.search(_text(each, "MatterHistoryActionBodyName")):
            step = "recommended"
        if step:
            yield _MatterField(action, STATUS, step)
    name = _text(matter, "MatterStatusName")
    step = _step(name, "")
    if step in DECISIVE or (step and not histories):
        yield _MatterField(name, STATUS, step)
    if step not in DECISIVE - _POSITIVE and (day := _text(matter, "MatterEnactmentDate")):
        yield _MatterField(day, STATUS, "enacted")


def _step(action: str, flag: str) -> str:
    """Return the step of an action and its vote; if a vote to deny fails, nothing is decided."""
    step = next((step for step, words in _STEPS if re.search(rf"\b(?:{words})", action, re.IGNORECASE)), "")
    if flag.lower().startswith("fail"):
        return "denied" if step in _POSITIVE else ""
    return step


def _dates(matter: Mapping[str, Any], histories: Sequence[Mapping[str, Any]]) -> Iterator[_MatterField]:
    status = _step(_text(matter, "MatterStatusName"), "")
    for name, role in _DATE_FIELDS.items():
        if day := _text(matter, name):
            # Legistar's `passed` is the day of the final vote, also if the matter was rejected.
            yield _date(day, status if role == "adopted" and status in DECISIVE - _POSITIVE else role)
    for each in histories:
        day = _text(each, "MatterHistoryActionDate") or _text(each, "EventDate")
        step = _step(_text(each, "MatterHistoryActionName"), _text(each, "MatterHistoryPassedFlagName"))
        if day and step in {"hearing", "recommended", "tabled", "withdrawn", "denied"}:
            yield _date(day, step)


def _date(text: str, role: str) -> _MatterField:
    try:
        return _MatterField(text, DATE, date.fromisoformat(text[:10]).isoformat(), role)
    except ValueError:
        return _MatterField(text, DATE, None, role)


def _text(fields: Mapping[str, Any], name: str) -> str:
    """Return a field's text; empty if it is null or missing."""
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _MAX_CHARACTERS:
        raise _refused(f"has a {name} that is not a text, or longer than {_MAX_CHARACTERS:,} characters")
    return value.strip()


def _refused(what: str) -> DocumentRefused:
    return DocumentRefused(
        what, where="Legistar matter", do="give one object of /matters, and its /histories as a list"
    )
