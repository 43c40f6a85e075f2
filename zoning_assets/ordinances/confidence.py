"""The confidence of a finding: a sum of weighted rules, each with a reason."""

from collections.abc import Sequence
from dataclasses import dataclass

#: The weights were chosen, not measured. They meet two requirements. First: a finding with all the fields of a real
#: amendment (codes, number, status, dates, place; docs/explanation/portals.md) has 1.0, and the fields whose errors do
#: most harm weigh most. Second: a finding without both codes (or the amended text), or without a status, is below 0.7.
CODES, NUMBER, STATUS, DATE, PLACE = 0.35, 0.25, 0.2, 0.1, 0.1
#: Deductions. Each alone brings a complete finding below 0.7; NO_STATUS does so together with the missing STATUS.
CONFLICT, BAD_DATE, UNSURE_BODY, SAME_CODE, SEVERAL, UNPAIRED, NO_KIND = 0.4, 0.35, 0.35, 0.35, 0.35, 0.35, 0.4
NO_STATUS = 0.15


@dataclass(frozen=True)
class Evidence:
    """The facts about a finding that the rules use."""

    has_codes: bool  # old and new, or the text that is amended
    has_status: bool
    has_number: bool
    has_date: bool
    has_place: bool
    conflict: str = ""  # the steps that exclude each other
    bad_dates: Sequence[str] = ()
    is_body_unsure: bool = False
    same_codes: Sequence[str] = ()
    is_several: bool = False
    is_unpaired: bool = False
    is_kind_unknown: bool = False


def score(evidence: Evidence) -> tuple[float, tuple[str, ...]]:
    """Return the sum of the weights, limited to 0..1, and the reasons as text."""
    rules = [
        (evidence.has_codes, CODES, "states what changes to what"),
        (evidence.has_status, STATUS, "states the decision"),
        (not evidence.has_status, -NO_STATUS, "does not state the decision"),
        (evidence.has_number, NUMBER, "has a case or ordinance number"),
        (evidence.has_date, DATE, "has a date with a meaning"),
        (evidence.has_place, PLACE, "states the place"),
        (bool(evidence.conflict), -CONFLICT, f"states both {evidence.conflict}"),
        (bool(evidence.bad_dates), -BAD_DATE, f"an impossible date: {', '.join(evidence.bad_dates[:3])}"),
        (evidence.is_body_unsure, -UNSURE_BODY, "does not state who approved"),
        (bool(evidence.same_codes), -SAME_CODE, f"old and new are the same: {', '.join(evidence.same_codes[:3])}"),
        (evidence.is_several, -SEVERAL, "statements of one item differ"),
        (evidence.is_unpaired, -UNPAIRED, "the numbers of old and new codes differ"),
        (evidence.is_kind_unknown, -NO_KIND, "its kind is unknown"),
    ]
    held = [(weight, reason) for applies, weight, reason in rules if applies]
    total = min(max(sum(weight for weight, _ in held), 0.0), 1.0)
    return round(total, 2), tuple(f"{weight:+.2f} {reason}" for weight, reason in held)
