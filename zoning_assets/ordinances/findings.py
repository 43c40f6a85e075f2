"""The values of this package: the mentions in a document, and the amendments found in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

#: A finding below this confidence is reviewed by a person.
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
#: The role of a number of another case or ordinance: the ordinance that is amended, a companion case.
REFERENCE = "reference"


@dataclass(frozen=True)
class Mention:
    """A piece of the text, `text == document.text[start:end]`, and its meaning."""

    kind: str  # case | ordinance | parcel | old_code | new_code | date | status
    text: str
    value: str | None  # in a normalized spelling; None: an impossible date, so a person must decide
    start: int
    end: int
    page: int = 1
    role: str = ""  # of a date: filed, hearing, ...; of a number: "", or reference


@dataclass(frozen=True)
class CodeChange:
    """The old and new codes of one statement, in order; they are pairs if there are as many old as new codes."""

    old: tuple[str, ...]
    new: tuple[str, ...]
    kind: str = "rezoning"  # rezoning | overlay | initial


@dataclass(frozen=True)
class FoundAmendment:
    """An amendment as one document states it.

    `status` is the last step in this document. In another document a council may decide differently from a commission
    that denied or recommended.
    """

    kind: str  # rezoning | conditional | overlay | text | annexation | pud | annulment | unknown
    status: str  # filed hearing recommended adopted enacted effective denied withdrawn tabled annulled repealed unknown
    case_numbers: tuple[str, ...] = ()
    ordinance_numbers: tuple[str, ...] = ()
    dates: Mapping[str, tuple[date, ...]] = field(default_factory=dict)  # by role
    parcels: tuple[str, ...] = ()
    changes: tuple[CodeChange, ...] = ()
    place: str = ""
    confidence: float = 0.0  # 0..1; see confidence.py
    reasons: tuple[str, ...] = ()
    mentions: tuple[Mention, ...] = ()

    @property
    def old_codes(self) -> tuple[str, ...]:
        """The old codes, in the order of the text."""
        return tuple(code for change in self.changes for code in change.old)

    @property
    def new_codes(self) -> tuple[str, ...]:
        """The new codes, in the order of the text."""
        return tuple(code for change in self.changes for code in change.new)

    @property
    def needs_review(self) -> bool:
        """Whether a person must review the finding before it is used."""
        return self.confidence < REVIEW_BELOW
