"""What truly changes from one release of the county to the next, and the list of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely

from zoning_assets.simulation import noise
from zoning_assets.simulation.draft import Draft, clockwise
from zoning_assets.simulation.plat import LOT_FT, STREET_FT
from zoning_assets.simulation.shapes import Floats
from zoning_assets.simulation.table import Table

#: Codes that no first release has.
NEW_ZONES = (("MU-1", "Mixed use 1"), ("MU-2", "Mixed use 2"), ("R-4", "Apartment house"), ("BR", "Business residence"))
_PART_FT = 12.0  # beside a lot's middle: about a third of the lot is rezoned
_RECODED_USE = "013"


@dataclass(frozen=True)
class Plan:
    """How many of each true change."""

    districts: int = 1  # whole districts that get another code, with all their lots
    spots: int = 5  # single lots rezoned: on the parcel and as an island in the district layer
    partly: int = 2  # half lots rezoned: in the district layer only
    split: int = 1
    merged: int = 1
    renumbered: int = 1
    retired: int = 1
    added: int = 1
    edited: int = 1  # USE_CODE


@dataclass(frozen=True)
class Truth:
    """The true changes, by natural key. Keys that are never published (null, or without a shape) do not stand here."""

    rezoned: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # PIN -> old code, new code
    partly_rezoned: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # the parcel's own ZONE stays
    split: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # old PIN -> new PINs
    merged: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # new PIN -> old PINs
    renumbered: Mapping[str, str] = field(default_factory=dict)  # old PIN -> new PIN
    retired: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()

    @property
    def new_keys(self) -> set[str]:
        """Keys that were not there before."""
        children = {pin for pins in self.split.values() for pin in pins}
        return children | set(self.merged) | set(self.renumbered.values()) | set(self.added)

    @property
    def gone_keys(self) -> set[str]:
        """Keys that are there no longer."""
        parents = {pin for pins in self.merged.values() for pin in pins}
        return parents | set(self.split) | set(self.renumbered) | set(self.retired)

    @property
    def changed_keys(self) -> set[str]:
        """Keys whose parcel row is there before and after, and differs."""
        return set(self.rezoned) | set(self.edited)

    def pins(self) -> dict[str, list[str]]:
        """The PINs as they were before (of what is new: after), by kind of change."""
        parents = [pin for pins in self.merged.values() for pin in pins]
        kinds = {"rezoned": self.rezoned, "partly_rezoned": self.partly_rezoned, "split": self.split, "merged": parents}
        rest = {"renumbered": self.renumbered, "retired": self.retired, "added": self.added, "edited": self.edited}
        return {kind: sorted(pins) for kind, pins in {**kinds, **rest}.items()}


def change(
    parcels: Table, zoning: Table, plan: Plan, rng: np.random.Generator, release: int
) -> tuple[Table, Table, Truth]:
    """The next release's parcels and zoning, and the truth about them.

    Raises:
        ValueError: the county has not enough plain lots left for the plan.

    """
    draft = Draft(parcels, zoning, rng, release)
    whole, touched = _districts(draft, plan.districts)
    spots = _spots(draft, plan.spots)
    partly = _partly(draft, plan.partly)
    truth = Truth(
        rezoned={**whole, **spots},
        partly_rezoned={**touched, **partly},
        split=_split(draft, plan.split),
        merged=_merged(draft, plan.merged),
        renumbered=_renumbered(draft, plan.renumbered),
        retired=_retired(draft, plan.retired),
        added=_added(draft, plan.added),
        edited=_edited(draft, plan.edited),
    )
    parcels, zoning = draft.result()
    return noise.shuffled(parcels, rng), noise.shuffled(zoning, rng), truth


def _new_zone(draft: Draft, number: int) -> tuple[str, str]:
    return NEW_ZONES[(draft.release + number) % len(NEW_ZONES)]


def _districts(draft: Draft, how_many: int) -> tuple[dict[str, tuple[str, str]], dict[str, tuple[str, str]]]:
    """Small districts get another code. Lots that only reach into one of them are partly rezoned."""
    rezoned: dict[str, tuple[str, str]] = {}
    touched: dict[str, tuple[str, str]] = {}
    chosen = draft.small_districts(how_many)
    for number, district in enumerate(chosen):
        code, name = _new_zone(draft, number)
        old = draft.rename_district(district, code, name)
        inside = draft.hidden["district"] == district
        rezoned |= dict.fromkeys(draft.rezone(np.flatnonzero(inside), code), (old, code))
        reaching = draft.hidden["crossed"] & (draft.hidden["district"] - 1 == district)
        touched |= dict.fromkeys(draft.pins_of(np.flatnonzero(reaching)), (old, code))
        draft.plain &= ~inside & ~reaching
    return rezoned, {pin: codes for pin, codes in touched.items() if pin not in rezoned}


def _spots(draft: Draft, how_many: int) -> dict[str, tuple[str, str]]:
    rezoned: dict[str, tuple[str, str]] = {}
    for number, row in enumerate(draft.pick(how_many)):
        code, name = _new_zone(draft, number)
        old = draft.zone(row)
        draft.island(row, clockwise(draft.ring(row)), code, name)
        rezoned |= dict.fromkeys(draft.rezone(np.array([row]), code), (old, code))
    return rezoned


def _partly(draft: Draft, how_many: int) -> dict[str, tuple[str, str]]:
    rezoned = {}
    for number, row in enumerate(draft.pick(how_many)):
        code, name = _new_zone(draft, number)
        draft.island(row, pieces(draft, row, _PART_FT)[0], code, name)
        rezoned[draft.pin(row)] = (draft.zone(row), code)
    return rezoned


def _split(draft: Draft, how_many: int) -> dict[str, tuple[str, str]]:
    split = {}
    for row in draft.pick(how_many):
        pin = draft.pin(row)
        children = (f"{pin}-{draft.release}A", f"{pin}-{draft.release}B")
        for child, ring in zip(children, pieces(draft, row), strict=True):
            draft.add(row, child, ring)
        draft.remove(row)
        split[pin] = children
    return split


def _merged(draft: Draft, how_many: int) -> dict[str, tuple[str, str]]:
    merged = {}
    for row, other in draft.pick_neighbours(how_many):
        pins = (draft.pin(row), draft.pin(other))
        whole = shapely.union(shapely.Polygon(draft.ring(row)), shapely.Polygon(draft.ring(other)))
        child = f"{pins[0]}-{draft.release}M"
        draft.add(row, child, clockwise(shapely.get_coordinates(whole.exterior)))
        draft.remove(row)
        draft.remove(other)
        merged[child] = pins
    return merged


def _renumbered(draft: Draft, how_many: int) -> dict[str, str]:
    renumbered = {}
    for row in draft.pick(how_many):
        pin = draft.pin(row)
        renumbered[pin] = f"{pin}-{draft.release}R"
        draft.edit(row, "PIN", renumbered[pin])
    return renumbered


def _retired(draft: Draft, how_many: int) -> tuple[str, ...]:
    rows = draft.pick(how_many)
    for row in rows:
        draft.remove(row)
    return tuple(draft.pin(row) for row in rows)


def _added(draft: Draft, how_many: int) -> tuple[str, ...]:
    """New lots on open land, across the street from lots at a town's edge."""
    pins = []
    for row in draft.pick(how_many, draft.hidden["edge"]):
        shift = (LOT_FT[1] + STREET_FT) * draft.hidden["outward"][row]
        pins.append(f"{draft.pin(row)}-{draft.release}N")
        draft.add(row, pins[-1], np.round(draft.ring(row) + shift, 3))
    # Once built upon, that land is not given out again.
    draft.hidden["edge"][[row for row in np.flatnonzero(draft.hidden["edge"]) if not draft.plain[row]]] = False
    return tuple(pins)


def _edited(draft: Draft, how_many: int) -> tuple[str, ...]:
    rows = draft.pick(how_many)
    for row in rows:
        draft.edit(row, "USE_CODE", _RECODED_USE)
    return tuple(draft.pin(row) for row in rows)


def pieces(draft: Draft, row: int, aside_ft: float = 0.0) -> list[Floats]:
    """The lot's ring cut in two from the street to its back, so far beside its middle; each clockwise."""
    lot = shapely.Polygon(draft.ring(row))
    to_street = draft.hidden["outward"][row] * 1000.0
    aside: npt.NDArray[np.float64] = np.array([-to_street[1], to_street[0]])
    middle = draft.hidden["corners"][row].mean(axis=0) + aside_ft * aside / np.hypot(*aside)
    back, front = middle - to_street, middle + to_street
    sides = [shapely.Polygon([back, front, front + side, back + side]) for side in (aside, -aside)]
    parts = [shapely.intersection(lot, side) for side in sides]
    return [clockwise(np.round(shapely.get_coordinates(part.exterior), 3)) for part in parts]
