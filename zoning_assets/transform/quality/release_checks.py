"""The checks that a release must pass before it is published. Each check compares one metric with its usual value.

The usual value is the median over the jurisdiction's own past releases. A release may exceed it by ten robust standard
deviations (MAD), or by a minimum allowance if that is larger. While there are too few past releases, a larger fixed
allowance applies. A release of some tiles may also exceed what the same tiles had by the fixed allowance. A limit in
the jurisdiction file (TOML table `tripwires`) overrides the computed one.

The checks are the tripwires of docs/reference/tripwires.md. pipeline/release_gate.py runs them, and
defs/asset_checks.py shows them in Dagster.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from zoning_assets.model import PARCELS, TRIPWIRES, ZONING

if TYPE_CHECKING:
    from zoning_assets.transform.quality.release_metrics import Measure

#: The number of past releases from which a usual value is computed.
ENOUGH = 5
#: How far a release may exceed the usual value: ten robust standard deviations. 1.4826 MAD is the standard deviation of
#: normally distributed values.
_DEVIATIONS = 10 * 1.4826
_OF_PARCELS = ("columns_changed", "key_turnover")
#: A change of fewer rows is ordinary (a new subdivision, some rezoned lots) and fails no check.
_FEWEST_ROWS = 20
#: The noun in the check's sentence, by feed.
THINGS = {PARCELS: "parcels", ZONING: "area"}


class ReleaseCheck(NamedTuple):
    """One check: how far its metric may exceed the usual value."""

    what: str  # template of the finding's sentence
    unit: str  # share | m | days | fields
    slack: float  # allowance while there are fewer than ENOUGH past releases
    least: float  # minimum allowance from then on
    blocks: bool = True
    #: Fail only if at least this share of the jurisdiction's rows is affected: a run may cover one tile only.
    fewest: float = 0.01
    #: Every release has some of this metric (rows without a key): without past releases, there is no limit.
    is_level: bool = False


CHECKS: Mapping[str, ReleaseCheck] = {
    "completeness": ReleaseCheck("{value} of the rows are neither accepted nor rejected", "share", 0.0, 0.0),
    "count_drop": ReleaseCheck("{value} of the published {things} would be lost", "share", 0.1, 0.1),
    "mass_rezoning": ReleaseCheck("{value} of the {things} got another zoning code", "share", 0.35, 0.25, fewest=0.05),
    "shifted": ReleaseCheck("the shapes moved by {value} in one direction", "m", 5.0, 5.0),
    "columns_changed": ReleaseCheck("{value} of the parcels got another value in", "share", 0.5, 0.25),
    "code_entropy": ReleaseCheck("{value} of the variety of the zoning codes was lost", "share", 0.6, 0.5, fewest=0.05),
    "unknown_codes": ReleaseCheck(
        "{value} of the {things} have a code that is new in this jurisdiction", "share", 0.25, 0.1
    ),
    "key_turnover": ReleaseCheck("{value} of the keys were replaced by other keys", "share", 0.25, 0.1),
    "bad_keys": ReleaseCheck("{value} of the rows have no key or a repeated key", "share", 0.1, 0.05, is_level=True),
    "crs_bounds": ReleaseCheck("{value} of the rows lie outside the bounds", "share", 0.1, 0.05),
    "rejected": ReleaseCheck("{value} of the rows were rejected", "share", 0.1, 0.05, is_level=True),
    "invalid": ReleaseCheck(
        "{value} of the shapes had to be repaired", "share", 0.1, 0.05, blocks=False, is_level=True
    ),
    "schema": ReleaseCheck("{value} columns were added or removed", "fields", 0.0, 0.0, blocks=False),
    "freshness": ReleaseCheck("{value} days since the last full harvest", "days", 60.0, 60.0, blocks=False),
}


@dataclass(frozen=True)
class CheckFinding:
    """The result of one check on a release.

    `value` is None if the metric could not be measured, `usual` if there are too few past releases, `limit` if there is
    nothing to compare with.
    """

    name: str
    blocks: bool
    sentence: str
    value: float | None = None
    usual: float | None = None
    limit: float | None = None
    tripped: bool = False


@dataclass(frozen=True)
class Verdict:
    """All findings on one release of a feed. `held`: a blocking check failed, and the release is not published."""

    jurisdiction: str
    feed: str
    findings: tuple[CheckFinding, ...] = ()
    held: bool = False
    tiles: tuple[str, ...] = ()  # H3 cells that were checked; empty: the whole jurisdiction

    @property
    def why(self) -> str:
        """The sentences of the blocking checks that failed."""
        return "; ".join(each.sentence for each in self.findings if each.tripped and each.blocks)


def check_release(
    measured: "Mapping[str, Measure]",
    history: Sequence[Mapping[str, float]],
    configured: Mapping[str, float],
    *,
    feed: str,
    published: int = 0,
) -> tuple[CheckFinding, ...]:
    """Run all checks of a feed.

    Args:
        measured: metrics by name, from release_metrics.measure_release; a metric that is missing could not be measured.
        history: metrics of earlier full releases, newest first.
        configured: limits from the jurisdiction file, by check name.
        feed: parcels or zoning.
        published: the number of published rows of the whole jurisdiction.

    Returns:
        One finding a check, in the order of `names_of`.
    """
    found = []
    for name in names_of(feed):
        if name not in measured:
            found.append(CheckFinding(name, CHECKS[name].blocks, f"{name}: nothing to compare with"))
            continue
        (value, rows, words, earlier), check, usual = measured[name], CHECKS[name], usual_of(name, history)
        limit = limit_of(name, history, configured)
        if limit is not None and earlier is not None and name not in configured:
            limit = max(limit, earlier + check.slack)
        tripped = limit is not None and value > limit and rows >= max(_FEWEST_ROWS, check.fewest * published)
        sentence = _sentence(name, value, (usual, limit), words, feed)
        found.append(CheckFinding(name, check.blocks, sentence, value, usual, limit, tripped))
    return tuple(found)


def names_of(feed: str) -> list[str]:
    """The names of a feed's checks. Zoning maps are compared by area, because districts are often cut, joined and
    renamed.
    """
    return [name for name in TRIPWIRES if feed == PARCELS or name not in _OF_PARCELS]


def usual_of(name: str, history: Sequence[Mapping[str, float]]) -> float | None:
    """The median of a check's past values; None if there are fewer than ENOUGH. `history`: newest first."""
    values = _past_values(name, history)
    return median(values) if len(values) >= ENOUGH else None


def limit_of(name: str, history: Sequence[Mapping[str, float]], configured: Mapping[str, float]) -> float | None:
    """The largest value that passes a check; None if there is nothing to compare with.

    Args:
        name: the check.
        history: metrics of earlier full releases, newest first.
        configured: limits from the jurisdiction file. They override the computed limit.
    """
    if name in configured:
        return configured[name]
    check, values = CHECKS[name], _past_values(name, history)
    if len(values) < ENOUGH:  # too few for a median: compare a level with the newest release, a change with 0
        start = (values[0] if values else None) if check.is_level else 0.0
        return None if start is None else start + check.slack
    usual = median(values)
    deviation = median(abs(value - usual) for value in values)
    return usual + max(check.least, _DEVIATIONS * deviation)


def _past_values(name: str, history: Sequence[Mapping[str, float]]) -> list[float]:
    return [each[name] for each in history if name in each]


def _sentence(name: str, value: float, known: tuple[float | None, float | None], words: str, feed: str) -> str:
    """`mass_rezoning: 84.0% of the parcels got another zoning code (usual 0.2%, limit 25.2%)`."""
    check = CHECKS[name]
    text = check.what.format(value=_formatted(value, check.unit), things=THINGS[feed])
    beside = [
        f"{label} {_formatted(each, check.unit)}"
        for label, each in zip(("usual", "limit"), known, strict=True)
        if each is not None
    ]
    return f"{name}: {text}{words}" + (f" ({', '.join(beside)})" if beside else "")


def _formatted(value: float, unit: str) -> str:
    if unit == "share":
        return f"{value:.1%}"
    return f"{value:.1f} m" if unit == "m" else f"{value:.0f}"
