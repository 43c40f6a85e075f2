"""How sure a finding is: rules that add up, each with its reason in words."""

from collections.abc import Sequence
from dataclasses import dataclass

#: The weights are judgement, not measurement, and follow two demands. First: what docs/explanation/portals.md lists as
#: the fields of a real amendment (codes, number, status, dates, place) makes 1.0, the most to what does most harm
#: where it is wrong. Second: without both codes (or the text that is amended), or without a status, a finding is below
#: 0.7 whatever else it has.
CODES, NUMBER, STATUS, DATE, PLACE = 0.35, 0.25, 0.2, 0.1, 0.1
#: Doubts. Each alone brings a complete finding below 0.7; `NO_STATUS` does so with the status that is missing.
CONFLICT, BAD_DATE, UNSURE_BODY, SAME_CODE, SEVERAL, UNPAIRED, NO_KIND = 0.4, 0.35, 0.35, 0.35, 0.35, 0.35, 0.4
NO_STATUS = 0.15


@dataclass(frozen=True)
class Evidence:
    """What is known of a finding, for the rules."""

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


def judged(evidence: Evidence) -> tuple[float, tuple[str, ...]]:
    """The sum of the rules within 0..1, and the reasons in words."""
    rules = [
        (evidence.has_codes, CODES, "says what changes to what"),
        (evidence.has_status, STATUS, "says what became of it"),
        (not evidence.has_status, -NO_STATUS, "does not say what became of it"),
        (evidence.has_number, NUMBER, "has a case or ordinance number"),
        (evidence.has_date, DATE, "has a date with a meaning"),
        (evidence.has_place, PLACE, "says where"),
        (bool(evidence.conflict), -CONFLICT, f"says both {evidence.conflict}"),
        (bool(evidence.bad_dates), -BAD_DATE, f"a date cannot be: {', '.join(evidence.bad_dates[:3])}"),
        (evidence.is_body_unsure, -UNSURE_BODY, "does not say who approved"),
        (bool(evidence.same_codes), -SAME_CODE, f"old and new are the same: {', '.join(evidence.same_codes[:3])}"),
        (evidence.is_several, -SEVERAL, "statements of one item differ"),
        (evidence.is_unpaired, -UNPAIRED, "old and new codes do not pair"),
        (evidence.is_kind_unknown, -NO_KIND, "is not clear in kind"),
    ]
    held = [(weight, reason) for applies, weight, reason in rules if applies]
    total = min(max(sum(weight for weight, _ in held), 0.0), 1.0)
    return round(total, 2), tuple(f"{weight:+.2f} {reason}" for weight, reason in held)
