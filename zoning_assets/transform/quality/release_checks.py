"""What speaks against publishing a release: it is not what this jurisdiction's releases are. Each tripwire has a name.

The usual is the median of the jurisdiction's own past, and a release may lie above it by ten robust standard deviations
(MAD), or by a least allowance; by a larger one while there is too little past. A number in the jurisdiction file stands
above all of that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from zoning_assets.model import PARCELS, TRIPWIRES, ZONING

if TYPE_CHECKING:
    from zoning_assets.transform.quality.release_metrics import Measure

#: So many past releases say what is usual.
ENOUGH = 5
#: Robust standard deviations (1.4826 MAD) that a release may lie above the usual.
_DEVIATIONS = 10 * 1.4826
_OF_PARCELS = ("columns_changed", "key_turnover")
#: Fewer rows than these are an ordinary deed (a plat, some lots rezoned), no bad release.
_FEWEST_ROWS = 20
#: What a feed's tripwires count.
THINGS = {PARCELS: "parcels", ZONING: "ground"}


class Tripwire(NamedTuple):
    """How far what is measured may lie above the usual."""

    what: str  # the finding as a sentence
    unit: str  # share | m | days | fields
    slack: float  # while the past says little
    least: float  # once it says enough
    blocks: bool = True
    fewest: float = 0.01  # rows that must be concerned, as a share of the jurisdiction's: a run may be of one tile
    is_level: bool = False  # a release has always some of it: without a past there is nothing to compare with


WIRES: Mapping[str, Tripwire] = {
    "completeness": Tripwire("{value} of the rows are neither accepted nor rejected", "share", 0.0, 0.0),
    "count_drop": Tripwire("{value} less {things} than stand published", "share", 0.1, 0.1),
    "mass_rezoning": Tripwire("{value} of the {things} got another zoning code", "share", 0.35, 0.25, fewest=0.05),
    "shifted": Tripwire("the shapes moved together by {value}", "m", 5.0, 5.0),
    "columns_changed": Tripwire("{value} of the parcels got another value in", "share", 0.5, 0.25),
    "code_entropy": Tripwire("{value} of the variety of the zoning codes is gone", "share", 0.6, 0.5, fewest=0.05),
    "unknown_codes": Tripwire("{value} of the {things} got a code that was never seen here", "share", 0.25, 0.1),
    "key_turnover": Tripwire("{value} of the keys gave way to others", "share", 0.25, 0.1),
    "bad_keys": Tripwire("{value} of the rows have no key, or share one", "share", 0.1, 0.05, is_level=True),
    "crs_bounds": Tripwire("{value} of the rows lie outside the bounds", "share", 0.1, 0.05),
    "rejected": Tripwire("{value} of the rows were rejected", "share", 0.1, 0.05, is_level=True),
    "invalid": Tripwire("{value} of the shapes had to be repaired", "share", 0.1, 0.05, blocks=False, is_level=True),
    "schema": Tripwire("{value} columns came or went", "fields", 0.0, 0.0, blocks=False),
    "freshness": Tripwire("{value} days since the last whole harvest", "days", 60.0, 60.0, blocks=False),
}


@dataclass(frozen=True)
class Finding:
    """A tripwire's word on a release. None: of `value`, it could not be measured; of `usual`, the past is too short; of
    `limit`, there is nothing to compare with."""

    name: str
    blocks: bool
    sentence: str
    value: float | None = None
    usual: float | None = None
    limit: float | None = None
    tripped: bool = False


@dataclass(frozen=True)
class Verdict:
    """All findings on one release of a feed."""

    jurisdiction: str
    feed: str
    findings: tuple[Finding, ...] = ()
    held: bool = False
    tiles: tuple[str, ...] = ()  # H3 cells that were judged; none: the whole jurisdiction

    @property
    def why(self) -> str:
        """What tripped, in sentences."""
        return "; ".join(each.sentence for each in self.findings if each.tripped and each.blocks)


def judge(
    measured: "Mapping[str, Measure]",
    past: Sequence[Mapping[str, float]],
    given: Mapping[str, float],
    *,
    feed: str,
    standing: int = 0,
) -> tuple[Finding, ...]:
    """Each tripwire's word.

    Args:
        measured: as measures.measures gives it.
        past: values of earlier whole releases, the newest first.
        given: limits that the jurisdiction file states.
        feed: parcels or zoning.
        standing: rows of the whole jurisdiction that stand.
    """
    found = []
    for name in names_of(feed):
        if name not in measured:
            found.append(Finding(name, WIRES[name].blocks, f"{name}: nothing to compare with"))
            continue
        (value, rows, words), wire, usual = measured[name], WIRES[name], usual_of(name, past)
        limit = limit_of(name, past, given)
        tripped = limit is not None and value > limit and rows >= max(_FEWEST_ROWS, wire.fewest * standing)
        sentence = _sentence(name, value, (usual, limit), words, feed)
        found.append(Finding(name, wire.blocks, sentence, value, usual, limit, tripped))
    return tuple(found)


def names_of(feed: str) -> list[str]:
    """The tripwires of a feed. A map is measured by its ground: its districts are cut, joined and renamed at will."""
    return [name for name in TRIPWIRES if feed == PARCELS or name not in _OF_PARCELS]


def usual_of(name: str, past: Sequence[Mapping[str, float]]) -> float | None:
    """The median of the past, None where that is too short."""
    values = _past(name, past)
    return median(values) if len(values) >= ENOUGH else None


def limit_of(name: str, past: Sequence[Mapping[str, float]], given: Mapping[str, float]) -> float | None:
    """What a value may reach; None where there is nothing to compare with."""
    if name in given:
        return given[name]
    wire, values = WIRES[name], _past(name, past)
    if len(values) < ENOUGH:  # a short past is no usual: a level is compared with the last, a change with none
        start = (values[0] if values else None) if wire.is_level else 0.0
        return None if start is None else start + wire.slack
    usual = median(values)
    deviation = median(abs(value - usual) for value in values)
    return usual + max(wire.least, _DEVIATIONS * deviation)


def _past(name: str, past: Sequence[Mapping[str, float]]) -> list[float]:
    return [each[name] for each in past if name in each]


def _sentence(name: str, value: float, known: tuple[float | None, float | None], words: str, feed: str) -> str:
    """`mass_rezoning: 84.0% of the parcels got another zoning code (usual 0.2%, limit 25.2%)`."""
    wire = WIRES[name]
    said = wire.what.format(value=_in_words(value, wire.unit), things=THINGS[feed])
    beside = [
        f"{word} {_in_words(each, wire.unit)}"
        for word, each in zip(("usual", "limit"), known, strict=True)
        if each is not None
    ]
    return f"{name}: {said}{words}" + (f" ({', '.join(beside)})" if beside else "")


def _in_words(value: float, unit: str) -> str:
    if unit == "share":
        return f"{value:.1%}"
    return f"{value:.1f} m" if unit == "m" else f"{value:.0f}"
