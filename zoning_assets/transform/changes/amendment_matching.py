"""Amendments: one name for each, dates judged, several tellings of one made one, and which change is whose.

Nothing is guessed: a date that is none is a question to a person, and a match is a sum of reasons that can be read.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import orjson
import shapely

from zoning_assets.model import ADOPTED, UNDONE, Amendment
from zoning_assets.transform.changes.zoning_codes import fold

#: What speaks for a match, and how much; ours, as no source gives numbers. A parcel or its ground together with either
#: code is enough, two codes alone are not.
_PARCEL, _GROUND, _OLD, _NEW, _TIME, _ORDINANCE = 0.45, 0.4, 0.15, 0.25, 0.05, 0.4
LEAST_SCORE = 0.6
#: A telling that is less sure waits for a person, and explains nothing meanwhile.
REVIEW_BELOW = 0.7
#: Days from the adoption to the map, and how many before it a map may run ahead.
_LAG_MOST, _AHEAD_MOST = 3 * 365, 60
_HALF = 0.5  # of the change's ground


@dataclass(frozen=True)
class Match:
    """That a change is probably the doing of an amendment."""

    amendment: str
    change: str
    score: float
    reasons: tuple[str, ...]
    lag_days: int | None  # from its effective (or adopted) day to when the map said so


def name_of(amendment: Amendment) -> str:
    """An amendment's id: of its first case number, else of its first ordinance, else of what it says."""
    numbers = sorted(amendment.case_numbers)[:1] or sorted(amendment.ordinance_numbers)[:1]
    told = [*amendment.parcel_ids, amendment.place, *amendment.old_codes, *amendment.new_codes, amendment.source_hash]
    said = (
        [amendment.jurisdiction, *(fold(number) for number in numbers)] if numbers else [amendment.jurisdiction, told]
    )
    return hashlib.blake2b(orjson.dumps(said), digest_size=12).hexdigest()


def says_something(told: Amendment) -> bool:
    """Whether it tells which ordinance, where or what."""
    return any((told.case_numbers, told.ordinance_numbers, told.parcel_ids, told.new_codes, told.geometry))


def judged(amendment: Amendment) -> Amendment:
    """With only dates that are days of the calendar; of the others, and of days out of order, a question is made."""
    good, questions = {}, list(amendment.questions)
    for role, said in sorted(amendment.dates.items()):
        try:
            good[role] = date.fromisoformat(said).isoformat()
        except ValueError:
            questions.append(f"the {role} date is {said!r:.40}: which day is meant?")
    first, last = good.get("filed"), good.get("effective") or good.get("adopted")
    if first and last and last < first:
        questions.append(f"it took effect on {last}, before it was filed on {first}: which is right?")
    return replace(amendment, dates=good, questions=tuple(dict.fromkeys(questions)))


def merged(before: Amendment | None, told: Amendment) -> Amendment:
    """What is known after another telling: lists together, days and status as told last, questions that remain."""
    if before is None:
        return told
    lists = ("case_numbers", "ordinance_numbers", "parcel_ids", "old_codes", "new_codes")
    together = {name: tuple(dict.fromkeys((*getattr(before, name), *getattr(told, name)))) for name in lists}
    answered = [q for q in before.questions if not any(q.startswith(f"the {role} date") for role in told.dates)]
    return replace(
        told,
        **together,  # type: ignore[arg-type] # the lists' names and their values
        dates={**before.dates, **told.dates},
        status=before.status if told.status == "unknown" else told.status,
        kind=before.kind if told.kind == "unknown" else told.kind,
        place=told.place or before.place,
        geometry=told.geometry or before.geometry,
        confidence=max(before.confidence, told.confidence),
        questions=tuple(dict.fromkeys((*answered, *told.questions))),
        evidence={**before.evidence, **told.evidence},
    )


def match(amendments: Mapping[str, Amendment], changes: Sequence[Mapping[str, Any]]) -> list[Match]:
    """The changes of zoning that amendments explain; the best amendment of each change, those of the same case.

    Args:
        amendments: by id.
        changes: `id`, `parcel_ids`, `old`, `new`, `detected`, `geom` (WKB or None), `evidence`.
    """
    by_code = _by_new_code(amendments)
    found = []
    for change in changes:
        names = [*by_code.get(fold(str(change["new"] or "")), ()), *by_code.get(None, ())]
        scored = [_match(name, amendments[name], change) for name in names]
        best = max(scored, key=lambda each: (each.score, each.amendment), default=None)
        if best and best.score >= LEAST_SCORE:
            found.append(best)
    return found


def _by_new_code(amendments: Mapping[str, Amendment]) -> dict[str | None, list[str]]:
    """The amendments that can explain a change, by the code that they bring; None: they do not say. One that is sure of
    its new code explains no other, whatever else agrees."""
    found: dict[str | None, list[str]] = {}
    for name, each in amendments.items():
        if each.confidence >= REVIEW_BELOW and each.status in (*ADOPTED, *UNDONE):
            codes: set[str | None] = {*_codes(each)[1]}
            for code in codes or {None}:
                found.setdefault(code, []).append(name)
    return found


def _codes(amendment: Amendment) -> tuple[set[str], set[str]]:
    """The old and the new codes, folded. An annulled amendment explains the way back."""
    olds, news = ({fold(code) for code in codes} for codes in (amendment.old_codes, amendment.new_codes))
    return (news, olds) if amendment.status in UNDONE else (olds, news)


def _match(name: str, amendment: Amendment, change: Mapping[str, Any]) -> Match:
    """How much speaks for it."""
    olds, news = _codes(amendment)
    old, new = (fold(str(change[side] or "")) for side in ("old", "new"))
    day = _day(amendment)
    lag = (change["detected"].date() - day).days if day else None
    same = sorted(set(amendment.parcel_ids) & set(change["parcel_ids"]))
    said = str(change["evidence"].get("ordinance") or "")
    reasons = {
        f"parcel {', '.join(same[:3])}": _PARCEL * bool(same),
        "its ground": _GROUND * _is_ground(amendment, change),
        f"from {change['old']}": _OLD * (old in olds),
        f"to {change['new']}": _NEW * (new in news),
        f"{lag} days after": _TIME * (lag is not None and -_AHEAD_MOST <= lag <= _LAG_MOST),
        f"the map names {said}": _ORDINANCE * (bool(said) and fold(said) in map(fold, amendment.ordinance_numbers)),
    }
    held = {reason: score for reason, score in reasons.items() if score}
    return Match(name, change["id"], round(min(sum(held.values()), 1.0), 3), tuple(held), lag)


def _day(amendment: Amendment) -> date | None:
    roles = ("effective", "enacted", "adopted") if amendment.status in ADOPTED else (*UNDONE, "effective")
    return next((date.fromisoformat(amendment.dates[role]) for role in roles if role in amendment.dates), None)


def _is_ground(amendment: Amendment, change: Mapping[str, Any]) -> bool:
    if not amendment.geometry or not change["geom"]:
        return False
    ground, changed = shapely.from_wkb(amendment.geometry), shapely.from_wkb(change["geom"])
    return bool(shapely.area(shapely.intersection(ground, changed)) >= _HALF * shapely.area(changed))
