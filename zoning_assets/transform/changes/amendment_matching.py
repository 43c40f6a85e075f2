"""Identify amendments, check their dates, merge several messages about one, and match them with changes of zoning.

Nothing is guessed: an unclear date becomes a question for a person, and a match is a sum of reasons that a person can
read.
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

#: The weight of each reason for a match. These are our own estimates; no source has numbers. A parcel or an area with
#: one of the two codes is enough for a match; the two codes alone are not.
_PARCEL, _AREA, _OLD, _NEW, _TIME, _ORDINANCE = 0.45, 0.4, 0.15, 0.25, 0.05, 0.4
MIN_SCORE = 0.6
#: An amendment with a lower confidence waits for a person and explains no change until then.
REVIEW_BELOW = 0.7
#: Days that the map may be updated after the amendment took effect, and before it.
_MAX_LAG_DAYS, _MAX_AHEAD_DAYS = 3 * 365, 60
_MIN_AREA_SHARE = 0.5  # of the change's area


@dataclass(frozen=True)
class Match:
    """An amendment that probably caused a change."""

    amendment: str
    change: str
    score: float
    reasons: tuple[str, ...]
    lag_days: int | None  # from the effective (or adopted) date to the detection of the change


def name_of(amendment: Amendment) -> str:
    """An amendment's id: a hash of its first case number, else of its first ordinance number, else of its content."""
    numbers = sorted(amendment.case_numbers)[:1] or sorted(amendment.ordinance_numbers)[:1]
    content = [
        *amendment.parcel_ids,
        amendment.place,
        *amendment.old_codes,
        *amendment.new_codes,
        amendment.source_hash,
    ]
    identity: list[Any] = [fold(number) for number in numbers] if numbers else [content]
    return hashlib.blake2b(orjson.dumps([amendment.jurisdiction, *identity]), digest_size=12).hexdigest()


def is_identified(new: Amendment) -> bool:
    """Whether the amendment has a case or ordinance number, a parcel, a new code or an area."""
    return any((new.case_numbers, new.ordinance_numbers, new.parcel_ids, new.new_codes, new.geometry))


def checked(amendment: Amendment) -> Amendment:
    """The amendment with valid dates only. Invalid dates, and dates out of order, become questions for a person."""
    good, questions = {}, list(amendment.questions)
    for role, text in sorted(amendment.dates.items()):
        try:
            good[role] = date.fromisoformat(text).isoformat()
        except ValueError:
            questions.append(f"the {role} date is {text!r:.40}: which day is meant?")
    first, last = good.get("filed"), good.get("effective") or good.get("adopted")
    if first and last and last < first:
        questions.append(f"it took effect on {last}, before it was filed on {first}: which is right?")
    return replace(amendment, dates=good, questions=tuple(dict.fromkeys(questions)))


def merged(before: Amendment | None, new: Amendment) -> Amendment:
    """Merge a new message about an amendment into what is known. Lists are joined; dates and status of the new message
    replace the older ones; questions that it answers are removed.
    """
    if before is None:
        return new
    lists = ("case_numbers", "ordinance_numbers", "parcel_ids", "old_codes", "new_codes")
    joined = {name: tuple(dict.fromkeys((*getattr(before, name), *getattr(new, name)))) for name in lists}
    answered = [q for q in before.questions if not any(q.startswith(f"the {role} date") for role in new.dates)]
    return replace(
        new,
        **joined,  # type: ignore[arg-type] # the lists' names and their values
        dates={**before.dates, **new.dates},
        status=before.status if new.status == "unknown" else new.status,
        kind=before.kind if new.kind == "unknown" else new.kind,
        place=new.place or before.place,
        geometry=new.geometry or before.geometry,
        confidence=max(before.confidence, new.confidence),
        questions=tuple(dict.fromkeys((*answered, *new.questions))),
        evidence={**before.evidence, **new.evidence},
    )


def match(amendments: Mapping[str, Amendment], changes: Sequence[Mapping[str, Any]]) -> list[Match]:
    """Match changes of zoning with the amendments that explain them; the best amendment for each change.

    Args:
        amendments: by id.
        changes: `id`, `parcel_ids`, `old`, `new`, `detected`, `geom` (WKB, target CRS, or None), `evidence`.

    Returns:
        Matches whose score (0 to 1) is MIN_SCORE or more.
    """
    by_code = _by_new_code(amendments)
    found = []
    for change in changes:
        names = [*by_code.get(fold(str(change["new"] or "")), ()), *by_code.get(None, ())]
        scored = [_match(name, amendments[name], change) for name in names]
        best = max(scored, key=lambda each: (each.score, each.amendment), default=None)
        if best and best.score >= MIN_SCORE:
            found.append(best)
    return found


def _by_new_code(amendments: Mapping[str, Amendment]) -> dict[str | None, list[str]]:
    """The adopted or annulled amendments of sufficient confidence, by folded new code; None: without a new code. An
    amendment with a new code explains changes to that code only.
    """
    found: dict[str | None, list[str]] = {}
    for name, each in amendments.items():
        if each.confidence >= REVIEW_BELOW and each.status in (*ADOPTED, *UNDONE):
            codes: set[str | None] = {*_codes(each)[1]}
            for code in codes or {None}:
                found.setdefault(code, []).append(name)
    return found


def _codes(amendment: Amendment) -> tuple[set[str], set[str]]:
    """The old and the new codes, folded. For an annulled amendment they are swapped: it explains the change back."""
    olds, news = ({fold(code) for code in codes} for codes in (amendment.old_codes, amendment.new_codes))
    return (news, olds) if amendment.status in UNDONE else (olds, news)


def _match(name: str, amendment: Amendment, change: Mapping[str, Any]) -> Match:
    """The score of one amendment for one change, with reasons."""
    olds, news = _codes(amendment)
    old, new = (fold(str(change[side] or "")) for side in ("old", "new"))
    day = _day(amendment)
    lag = (change["detected"].date() - day).days if day else None
    same = sorted(set(amendment.parcel_ids) & set(change["parcel_ids"]))
    ordinance = str(change["evidence"].get("ordinance") or "")
    reasons = {
        f"parcel {', '.join(same[:3])}": _PARCEL * bool(same),
        "its area": _AREA * _shares_area(amendment, change),
        f"from {change['old']}": _OLD * (old in olds),
        f"to {change['new']}": _NEW * (new in news),
        f"{lag} days after": _TIME * (lag is not None and -_MAX_AHEAD_DAYS <= lag <= _MAX_LAG_DAYS),
        f"the map names {ordinance}": _ORDINANCE
        * (bool(ordinance) and fold(ordinance) in map(fold, amendment.ordinance_numbers)),
    }
    found = {reason: score for reason, score in reasons.items() if score}
    return Match(name, change["id"], round(min(sum(found.values()), 1.0), 3), tuple(found), lag)


def _day(amendment: Amendment) -> date | None:
    roles = ("effective", "enacted", "adopted") if amendment.status in ADOPTED else (*UNDONE, "effective")
    return next((date.fromisoformat(amendment.dates[role]) for role in roles if role in amendment.dates), None)


def _shares_area(amendment: Amendment, change: Mapping[str, Any]) -> bool:
    if not amendment.geometry or not change["geom"]:
        return False
    area, changed = shapely.from_wkb(amendment.geometry), shapely.from_wkb(change["geom"])
    return bool(shapely.area(shapely.intersection(area, changed)) >= _MIN_AREA_SHARE * shapely.area(changed))
