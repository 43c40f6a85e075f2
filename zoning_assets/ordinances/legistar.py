"""A matter of Legistar's Web API, already fetched and parsed, to the same finding as a document.

The title is read by the same rules; what the matter's own fields say (file, dates, actions) goes before the title.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from zoning_assets.errors import DocumentRefused
from zoning_assets.ordinances import identifiers
from zoning_assets.ordinances.amendment_builder import amendment
from zoning_assets.ordinances.amendment_extraction import scanned
from zoning_assets.ordinances.amendment_status import DECISIVE
from zoning_assets.ordinances.findings import CASE, DATE, ORDINANCE, STATUS, Found, Mention
from zoning_assets.ordinances.reading.document import Document

_MOST_CHARACTERS = 1_000_000
_MOST_HISTORIES = 1_000
_TITLES = ("MatterName", "MatterTitle", "MatterText", "MatterTextPlain")
_DAYS = {"MatterIntroDate": "filed", "MatterPassedDate": "adopted", "MatterEnactmentDate": "enacted"}
#: What an action or a status of Legistar means, by what it contains; the first that fits. `Filed` is often `placed on
#: file`, the end of a matter, so it says nothing.
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
class _Said:
    """One field: its text, and what it means."""

    text: str
    kind: str
    value: str | None
    role: str = ""


def document_of(matter: Mapping[str, Any], histories: Sequence[Mapping[str, Any]] = ()) -> Document:
    """The text that a finding's spans refer to: the titles first, then a line for each field with a meaning.

    Raises:
        DocumentRefused: it is not a matter with its histories.
    """
    titles, fields = _read(matter, histories)
    return Document("\n".join([titles, *(each.text for each in fields)]))


def found_in(matter: Mapping[str, Any], histories: Sequence[Mapping[str, Any]] = ()) -> Found | None:
    """The amendment that a matter is, or None where it is something else.

    Args:
        matter: one object of `/matters`.
        histories: those of `/matters/ID/histories`, in the order of time.

    Raises:
        DocumentRefused: it is not a matter with its histories.
    """
    titles, fields = _read(matter, histories)
    mentioned, stated = scanned(Document(titles))
    own = list(_mentions(fields, len(titles) + 1))
    if any(each.kind == STATUS for each in own):
        mentioned = [each for each in mentioned if each.kind != STATUS]
    found = amendment(titles, titles, [*own, *mentioned], stated, ())
    return found and replace(found, mentions=tuple(sorted(found.mentions, key=lambda each: each.start)))


def _mentions(fields: Sequence[_Said], start: int) -> Iterator[Mention]:
    for each in fields:
        yield Mention(each.kind, each.text, each.value, start, start + len(each.text), role=each.role)
        start += len(each.text) + 1


def _read(matter: object, histories: object) -> tuple[str, list[_Said]]:
    """A matter's titles as a text, and its fields."""
    if not isinstance(matter, Mapping) or not isinstance(histories, Sequence) or isinstance(histories, str | bytes):
        raise _refused("is no object with a list of histories")
    if len(histories) > _MOST_HISTORIES or not all(isinstance(each, Mapping) for each in histories):
        raise _refused(f"has histories that are no objects, or more than {_MOST_HISTORIES:,}")
    titles = dict.fromkeys(filter(None, (_text(matter, name) for name in _TITLES)))
    if not titles:
        raise _refused("has neither a name nor a title")
    return "\n\n".join(titles), [*_numbers(matter), *_steps(matter, histories), *_days(matter, histories)]


def _numbers(matter: Mapping[str, Any]) -> Iterator[_Said]:
    file = _text(matter, "MatterFile")
    if own := next(identifiers.ordinances(file), None):
        yield _Said(file, ORDINANCE, own.value)
    elif file:
        yield _Said(file, CASE, identifiers.squeezed(file))
    if enacted := _text(matter, "MatterEnactmentNumber"):
        own = next(identifiers.ordinances(enacted), None)
        yield _Said(enacted, ORDINANCE, own.value if own else identifiers.squeezed(enacted))


def _steps(matter: Mapping[str, Any], histories: Sequence[Mapping[str, Any]]) -> Iterator[_Said]:
    for each in histories:
        action = _text(each, "MatterHistoryActionName")
        step = _step(action, _text(each, "MatterHistoryPassedFlagName"))
        if step == "adopted" and _COMMISSION.search(_text(each, "MatterHistoryActionBodyName")):
            step = "recommended"
        if step:
            yield _Said(action, STATUS, step)
    name = _text(matter, "MatterStatusName")
    step = _step(name, "")
    if step in DECISIVE or (step and not histories):
        yield _Said(name, STATUS, step)
    if step not in DECISIVE - _POSITIVE and (day := _text(matter, "MatterEnactmentDate")):
        yield _Said(day, STATUS, "enacted")


def _step(action: str, flag: str) -> str:
    """What an action means, once the vote on it is known; a lost vote to deny decides nothing."""
    step = next((step for step, words in _STEPS if re.search(rf"\b(?:{words})", action, re.IGNORECASE)), "")
    if flag.lower().startswith("fail"):
        return "denied" if step in _POSITIVE else ""
    return step


def _days(matter: Mapping[str, Any], histories: Sequence[Mapping[str, Any]]) -> Iterator[_Said]:
    status = _step(_text(matter, "MatterStatusName"), "")
    for name, role in _DAYS.items():
        if day := _text(matter, name):
            # Legistar's `passed` is the day of the final vote, whichever way it went.
            yield _day(day, status if role == "adopted" and status in DECISIVE - _POSITIVE else role)
    for each in histories:
        day = _text(each, "MatterHistoryActionDate") or _text(each, "EventDate")
        step = _step(_text(each, "MatterHistoryActionName"), _text(each, "MatterHistoryPassedFlagName"))
        if day and step in {"hearing", "recommended", "tabled", "withdrawn", "denied"}:
            yield _day(day, step)


def _day(text: str, role: str) -> _Said:
    try:
        return _Said(text, DATE, date.fromisoformat(text[:10]).isoformat(), role)
    except ValueError:
        return _Said(text, DATE, None, role)


def _text(fields: Mapping[str, Any], name: str) -> str:
    """A field's text on one line or more, empty where it is null."""
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _MOST_CHARACTERS:
        raise _refused(f"has a {name} that is no text, or longer than {_MOST_CHARACTERS:,} characters")
    return value.strip()


def _refused(what: str) -> DocumentRefused:
    return DocumentRefused(
        what, where="Legistar matter", do="give one object of /matters, and its /histories as a list"
    )
