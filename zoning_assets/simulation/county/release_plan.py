"""The changes to make from one release of the county to the next, and the list of the changes that were made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

_TOWN_LOTS = 69_000  # lots for the numbers of `Plan.town`


@dataclass(frozen=True)
class Plan:
    """How many changes of each kind to make, and how much noise.

    Attributes:
        districts: districts that get another code, with all their lots.
        spots: single lots to rezone, in the parcel layer and as an island in the district layer.
        partly: lots to rezone in part, in the district layer only.
        split: lots to split in two.
        merged: pairs of lots to merge.
        renumbered: single lots that get another PIN.
        retired: lots to remove.
        added: lots to add.
        edited: lots that get another USE_CODE.
        blocks: blocks whose lots all get other PINs.
        reuse: use some PINs again: in every third of these blocks each lot gets the previous PIN of its neighbour, and
            every second split or merged lot has a PIN that existed before.
        apart: rezone at most one lot in each block, so that the islands do not touch.
        strips_m: the least and the largest depth of the strips at the back of partly rezoned lots, in metres; None:
            about a third of the lot, at its side.
        respelled: districts whose code loses its hyphen (`R-1`, `R1`): all districts of half of the codes, or half of
            all.
        drift_m: how far the corners of districts move at most, in metres; see redigitised.drifted.
        parcels_drift_m: the same for parcels, independently.
    """

    districts: int = 1
    spots: int = 5
    partly: int = 2
    split: int = 1
    merged: int = 1
    renumbered: int = 1
    retired: int = 1
    added: int = 1
    edited: int = 1
    blocks: int = 0
    reuse: bool = False
    apart: bool = False
    strips_m: tuple[float, float] | None = None
    respelled: Literal["codes", "rows"] | None = None
    drift_m: float = 0.0
    parcels_drift_m: float = 0.0

    @classmethod
    def town(cls, drift_m: float = 0.0, lots: int = _TOWN_LOTS) -> "Plan":
        """The plan of the benchmark: 309 rezonings of which 154 are partial, 60 renumbered blocks, 1% of the lots split
        and 1% merged, half of the codes respelled, and all districts digitised again. The numbers are proportional to
        `lots`.

        It is meant for one release of a county: the islands of a further release would cross lines that have moved.
        """
        spots, partly, blocks = (max(1, round(count * lots / _TOWN_LOTS)) for count in (155, 154, 60))
        return cls(
            **dict.fromkeys(("districts", "renumbered", "retired", "added", "edited"), 0),
            spots=spots,
            partly=partly,
            split=lots // 100,
            merged=lots // 100,
            blocks=blocks,
            reuse=True,
            apart=True,
            strips_m=(3.0, 13.0),
            respelled="codes",
            drift_m=drift_m,
        )


@dataclass(frozen=True)
class Strip:
    """The part of a lot that was rezoned, before any drift.

    Attributes:
        width_m: the diameter of its largest inscribed circle, in metres.
        area_m2: its planar area in EPSG:2249, in square metres.
    """

    width_m: float
    area_m2: float


@dataclass(frozen=True)
class Truth:
    """The changes, by natural key. Keys that are never published (null, or without a geometry) are left out.

    Attributes:
        rezoned: PIN -> old code, new code.
        partly_rezoned: the same for lots of which only a part is rezoned; the ZONE of the parcel does not change.
        strips: the rezoned parts of lots that were partly rezoned by an island, by PIN.
        split: old PIN -> new PINs.
        merged: new PIN -> old PINs.
        renumbered: old PIN -> new PIN.
        retired: PINs.
        added: PINs.
        edited: PINs.
    """

    rezoned: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    partly_rezoned: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    strips: Mapping[str, Strip] = field(default_factory=dict)
    split: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    merged: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    renumbered: Mapping[str, str] = field(default_factory=dict)
    retired: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()

    @property
    def new_keys(self) -> set[str]:
        """Keys that did not exist before."""
        return self._after() - self._before()

    @property
    def gone_keys(self) -> set[str]:
        """Keys that do not exist any more."""
        return self._before() - self._after()

    @property
    def changed_keys(self) -> set[str]:
        """Keys whose parcel row exists before and after, and differs."""
        return set(self.rezoned) | set(self.edited) | (self._before() & self._after())

    def _after(self) -> set[str]:
        children = {pin for pins in self.split.values() for pin in pins}
        return children | set(self.merged) | set(self.renumbered.values()) | set(self.added)

    def _before(self) -> set[str]:
        parents = {pin for pins in self.merged.values() for pin in pins}
        return parents | set(self.split) | set(self.renumbered) | set(self.retired)

    def pins(self) -> dict[str, list[str]]:
        """The PINs before the changes, or after them for new lots, by kind of change."""
        parents = [pin for pins in self.merged.values() for pin in pins]
        kinds = {"rezoned": self.rezoned, "partly_rezoned": self.partly_rezoned, "split": self.split, "merged": parents}
        rest = {"renumbered": self.renumbered, "retired": self.retired, "added": self.added, "edited": self.edited}
        return {kind: sorted(pins) for kind, pins in {**kinds, **rest}.items()}
