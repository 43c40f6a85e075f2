"""What is to change from one release of the county to the next, and what then truly did."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

_TOWN_LOTS = 69_000  # for which the figures of `Plan.town` are meant


@dataclass(frozen=True)
class Plan:
    """How many of each true change, and how much noise beside them."""

    districts: int = 1  # whole districts that get another code, with all their lots
    spots: int = 5  # single lots rezoned: on the parcel and as an island in the district layer
    partly: int = 2  # part of a lot rezoned: in the district layer only
    split: int = 1
    merged: int = 1
    renumbered: int = 1
    retired: int = 1
    added: int = 1
    edited: int = 1  # USE_CODE
    blocks: int = 0  # whole blocks whose lots all get other PINs
    #: Part of the ids go on: in every third of those blocks each lot gets its neighbour's old PIN, and every second
    #: split or merged lot has a PIN that was there before.
    reuse: bool = False
    apart: bool = False  # one rezoned lot a block at most, so that their islands do not touch
    #: Least and most depth of a partly rezoned lot's strip, at its back. None: about a third of the lot, at its side.
    strips_m: tuple[float, float] | None = None
    #: Districts whose code loses its hyphen (`R-1`, `R1`): all of half of the codes, or half of all.
    respelled: Literal["codes", "rows"] | None = None
    drift_m: float = 0.0  # how far the corners of districts are moved at most; see `drift`
    parcels_drift_m: float = 0.0  # and those of parcels, independently

    @classmethod
    def town(cls, drift_m: float = 0.0, lots: int = _TOWN_LOTS) -> "Plan":
        """The yardstick: 309 rezonings of which 154 partial, 60 blocks renumbered, 1% of the lots split and 1% merged,
        half of the codes respelled and all districts re-digitised. Counts in proportion, if there are other lots.

        Meant for one release of a county: the islands of the next would cross lines that have drifted.
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
    """The part of a lot that was rezoned, as it was before any drift: planar, EPSG:2249."""

    width_m: float  # of the widest circle that finds room in it
    area_m2: float


@dataclass(frozen=True)
class Truth:
    """The true changes, by natural key. Keys that are never published (null, or without a shape) do not stand here."""

    rezoned: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # PIN -> old code, new code
    partly_rezoned: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # the parcel's own ZONE stays
    strips: Mapping[str, Strip] = field(default_factory=dict)  # of those partly rezoned by themselves, by PIN
    split: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # old PIN -> new PINs
    merged: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # new PIN -> old PINs
    renumbered: Mapping[str, str] = field(default_factory=dict)  # old PIN -> new PIN
    retired: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()

    @property
    def new_keys(self) -> set[str]:
        """Keys that were not there before."""
        return self._after() - self._before()

    @property
    def gone_keys(self) -> set[str]:
        """Keys that are there no longer."""
        return self._before() - self._after()

    @property
    def changed_keys(self) -> set[str]:
        """Keys whose parcel row is there before and after, and differs."""
        return set(self.rezoned) | set(self.edited) | (self._before() & self._after())

    def _after(self) -> set[str]:
        children = {pin for pins in self.split.values() for pin in pins}
        return children | set(self.merged) | set(self.renumbered.values()) | set(self.added)

    def _before(self) -> set[str]:
        parents = {pin for pins in self.merged.values() for pin in pins}
        return parents | set(self.split) | set(self.renumbered) | set(self.retired)

    def pins(self) -> dict[str, list[str]]:
        """The PINs as they were before (of what is new: after), by kind of change."""
        parents = [pin for pins in self.merged.values() for pin in pins]
        kinds = {"rezoned": self.rezoned, "partly_rezoned": self.partly_rezoned, "split": self.split, "merged": parents}
        rest = {"renumbered": self.renumbered, "retired": self.retired, "added": self.added, "edited": self.edited}
        return {kind: sorted(pins) for kind, pins in {**kinds, **rest}.items()}
