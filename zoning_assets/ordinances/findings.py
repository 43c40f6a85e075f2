"""The words of this package, as values: what a document mentions, and the amendments found in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

#: A finding below this goes to a person.
REVIEW_BELOW = 0.7

CASE, ORDINANCE, PARCEL, OLD_CODE, NEW_CODE, DATE, STATUS = (
    "case",
    "ordinance",
    "parcel",
    "old_code",
    "new_code",
    "date",
    "status",
)
#: A number that is named in passing: the ordinance that is amended, a companion case.
REFERENCE = "reference"


@dataclass(frozen=True)
class Mention:
    """A piece of the text, `text == document.text[start:end]`, and what it means."""

    kind: str  # case | ordinance | parcel | old_code | new_code | date | status
    text: str
    value: str | None  # in one spelling; None: it looks like a date and is none, so a person must say
    start: int
    end: int
    page: int = 1
    role: str = ""  # of a date: filed, hearing, ...; of a number: "", or reference


@dataclass(frozen=True)
class Change:
    """Old and new codes of one statement, in order; paired where there are as many of each."""

    old: tuple[str, ...]
    new: tuple[str, ...]
    way: str = "rezoning"  # rezoning | overlay | initial


@dataclass(frozen=True)
class Found:
    """An amendment as a document tells of it.

    `status` is the last step that this document tells: `denied` and `recommended` by a commission may be overruled by
    a council in another document.
    """

    kind: str  # rezoning | conditional | overlay | text | annexation | pud | annulment | unknown
    status: str  # filed hearing recommended adopted enacted effective denied withdrawn tabled annulled repealed unknown
    case_numbers: tuple[str, ...] = ()
    ordinance_numbers: tuple[str, ...] = ()
    dates: Mapping[str, tuple[date, ...]] = field(default_factory=dict)  # by role
    parcels: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    place: str = ""
    confidence: float = 0.0  # 0..1; see confidence.py
    reasons: tuple[str, ...] = ()
    mentions: tuple[Mention, ...] = ()

    @property
    def old_codes(self) -> tuple[str, ...]:
        """The codes that go, in the text's order."""
        return tuple(code for change in self.changes for code in change.old)

    @property
    def new_codes(self) -> tuple[str, ...]:
        """The codes that come, in the text's order."""
        return tuple(code for change in self.changes for code in change.new)

    @property
    def needs_review(self) -> bool:
        """Whether a person must look before anything is done with it."""
        return self.confidence < REVIEW_BELOW
