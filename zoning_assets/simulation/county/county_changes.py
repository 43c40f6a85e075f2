"""The true changes from one release of the county to the next, and their list."""

import numpy as np
import numpy.typing as npt
import shapely

from zoning_assets.simulation.county import harmless_noise
from zoning_assets.simulation.county.county_table import CountyTable
from zoning_assets.simulation.county.plat import LOT_FT, METRES_PER_FOOT, STREET_FT
from zoning_assets.simulation.county.redigitised import drifted
from zoning_assets.simulation.county.release_draft import ReleaseDraft, clockwise
from zoning_assets.simulation.county.release_plan import Plan, Strip, Truth
from zoning_assets.simulation.portal.polygon_arrays import Floats

#: Codes that the first release does not have.
NEW_ZONES = (("MU-1", "Mixed use 1"), ("MU-2", "Mixed use 2"), ("R-4", "Apartment house"), ("BR", "Business residence"))
_PART_FT = 12.0  # a cut so far from the middle: about a third of the lot is rezoned
_RECODED_USE = "013"


def change(
    parcels: CountyTable, zoning: CountyTable, plan: Plan, rng: np.random.Generator, release: int
) -> tuple[CountyTable, CountyTable, Truth]:
    """Change parcels and zoning as planned.

    Args:
        parcels: of the previous release.
        zoning: of the previous release.
        plan: the changes to make.
        rng: chooses the rows.
        release: the number of the new release.

    Returns:
        The parcels and the zoning of the new release, and the list of changes.

    Raises:
        ValueError: the county has not enough unchanged lots without flaws.
    """
    draft = ReleaseDraft(parcels, zoning, rng, release)
    whole, touched = _districts(draft, plan.districts)
    spots = _spots(draft, plan)
    partly, strips = _partly(draft, plan)
    blocks = _blocks(draft, plan)
    truth = Truth(
        rezoned={**whole, **spots},
        partly_rezoned={**touched, **partly},
        strips=strips,
        split=_split(draft, plan),
        merged=_merged(draft, plan),
        renumbered={**blocks, **_renumbered(draft, plan.renumbered)},
        retired=_retired(draft, plan.retired),
        added=_added(draft, plan.added),
        edited=_edited(draft, plan.edited),
    )
    parcels, zoning = draft.result()
    if plan.respelled:
        zoning = harmless_noise.respelled(zoning, plan.respelled, rng)
    zoning, parcels = drifted(zoning, plan.drift_m, rng), drifted(parcels, plan.parcels_drift_m, rng)
    return harmless_noise.shuffled(parcels, rng), harmless_noise.shuffled(zoning, rng), truth


def _new_zone(draft: ReleaseDraft, number: int) -> tuple[str, str]:
    return NEW_ZONES[(draft.release + number) % len(NEW_ZONES)]


def _districts(draft: ReleaseDraft, how_many: int) -> tuple[dict[str, tuple[str, str]], dict[str, tuple[str, str]]]:
    """Set another code for small districts. Lots of which only a part is in such a district are partly rezoned."""
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


def _spots(draft: ReleaseDraft, plan: Plan) -> dict[str, tuple[str, str]]:
    rezoned: dict[str, tuple[str, str]] = {}
    for number, row in enumerate(draft.pick(plan.spots, draft.one_of_each_block() if plan.apart else None)):
        code, name = _new_zone(draft, number)
        old = draft.zone(row)
        draft.island(row, clockwise(draft.ring(row)), code, name)
        rezoned |= dict.fromkeys(draft.rezone(np.array([row]), code), (old, code))
    return rezoned


def _partly(draft: ReleaseDraft, plan: Plan) -> tuple[dict[str, tuple[str, str]], dict[str, Strip]]:
    rezoned, strips = {}, {}
    for number, row in enumerate(draft.pick(plan.partly, draft.one_of_each_block() if plan.apart else None)):
        code, name = _new_zone(draft, number)
        depth_ft = draft.rng.uniform(*plan.strips_m) / METRES_PER_FOOT if plan.strips_m else None
        ring = back_of(draft, row, depth_ft) if depth_ft else pieces(draft, row, _PART_FT)[0]
        draft.island(row, ring, code, name)
        rezoned[draft.pin(row)] = (draft.zone(row), code)
        strips[draft.pin(row)] = _strip(ring)
    return rezoned, strips


def _strip(ring: Floats) -> Strip:
    polygon = shapely.Polygon(ring * METRES_PER_FOOT)
    return Strip(2 * shapely.maximum_inscribed_circle(polygon, 0.01).length, polygon.area)


def _blocks(draft: ReleaseDraft, plan: Plan) -> dict[str, str]:
    """Set other PINs for all lots of blocks without other changes, including lots with flaws that have a PIN."""
    renumbered: dict[str, str] = {}
    for number, rows in enumerate(draft.pick_blocks(plan.blocks)):
        pins = draft.pins_of(rows, shapeless=True)
        fresh = [f"{pin}-{draft.release}B" for pin in pins]
        rotated = plan.reuse and number % 3 == 0 and len(pins) > 1
        new = dict(zip(pins, pins[1:] + pins[:1] if rotated else fresh, strict=True))
        for row in rows:
            draft.edit(int(row), "PIN", new.get(draft.pin(int(row)), draft.columns["PIN"][row]))
        renumbered |= {pin: new[pin] for pin in draft.pins_of(rows)}
    return renumbered


def _split(draft: ReleaseDraft, plan: Plan) -> dict[str, tuple[str, str]]:
    split = {}
    for number, row in enumerate(draft.pick(plan.split)):
        pin = draft.pin(row)
        first = pin if plan.reuse and number % 2 else f"{pin}-{draft.release}A"
        split[pin] = (first, f"{pin}-{draft.release}B")
        for child, ring in zip(split[pin], pieces(draft, row), strict=True):
            draft.add(row, child, ring)
        draft.remove(row)
    return split


def _merged(draft: ReleaseDraft, plan: Plan) -> dict[str, tuple[str, str]]:
    merged = {}
    for number, (row, other) in enumerate(draft.pick_neighbours(plan.merged)):
        pins = (draft.pin(row), draft.pin(other))
        whole = shapely.union(shapely.Polygon(draft.ring(row)), shapely.Polygon(draft.ring(other)))
        child = pins[0] if plan.reuse and number % 2 else f"{pins[0]}-{draft.release}M"
        draft.add(row, child, clockwise(shapely.get_coordinates(whole.exterior)))
        draft.remove(row)
        draft.remove(other)
        merged[child] = pins
    return merged


def _renumbered(draft: ReleaseDraft, how_many: int) -> dict[str, str]:
    renumbered = {}
    for row in draft.pick(how_many):
        pin = draft.pin(row)
        renumbered[pin] = f"{pin}-{draft.release}R"
        draft.edit(row, "PIN", renumbered[pin])
    return renumbered


def _retired(draft: ReleaseDraft, how_many: int) -> tuple[str, ...]:
    rows = draft.pick(how_many)
    for row in rows:
        draft.remove(row)
    return tuple(draft.pin(row) for row in rows)


def _added(draft: ReleaseDraft, how_many: int) -> tuple[str, ...]:
    """Add lots on open land, across the street from lots at the edge of a town."""
    pins = []
    for row in draft.pick(how_many, draft.hidden["edge"]):
        shift = (LOT_FT[1] + STREET_FT) * draft.hidden["outward"][row]
        pins.append(f"{draft.pin(row)}-{draft.release}N")
        draft.add(row, pins[-1], np.round(draft.ring(row) + shift, 3))
    # Land with a new lot is not used again.
    draft.hidden["edge"][[row for row in np.flatnonzero(draft.hidden["edge"]) if not draft.plain[row]]] = False
    return tuple(pins)


def _edited(draft: ReleaseDraft, how_many: int) -> tuple[str, ...]:
    rows = draft.pick(how_many)
    for row in rows:
        draft.edit(row, "USE_CODE", _RECODED_USE)
    return tuple(draft.pin(row) for row in rows)


def pieces(draft: ReleaseDraft, row: int, aside_ft: float = 0.0) -> list[Floats]:
    """The ring of the lot cut in two parts, from the street to the back, `aside_ft` feet beside its middle;
    clockwise."""
    to_street = draft.hidden["outward"][row]
    aside = np.array([-to_street[1], to_street[0]])
    return _halves(draft.ring(row), draft.hidden["corners"][row].mean(axis=0) + aside_ft * aside, to_street)


def back_of(draft: ReleaseDraft, row: int, depth_ft: float) -> Floats:
    """The part of the lot at its back, `depth_ft` feet deep from the nearer of its back corners; clockwise."""
    to_street, corners = draft.hidden["outward"][row], draft.hidden["corners"][row]
    nearer = corners[np.argsort(corners @ to_street)[1]]
    return _halves(draft.ring(row), nearer + depth_ft * to_street, np.array([-to_street[1], to_street[0]]))[0]


def _halves(ring: Floats, middle: Floats, along: Floats) -> list[Floats]:
    """The ring cut in two by a line through `middle`; the part to the left of the line first; clockwise."""
    lot, along = shapely.Polygon(ring), along * 1000.0
    aside: npt.NDArray[np.float64] = np.array([-along[1], along[0]])
    start, end = middle - along, middle + along
    sides = [shapely.Polygon([start, end, end + side, start + side]) for side in (aside, -aside)]
    parts = [shapely.intersection(lot, side) for side in sides]
    return [clockwise(np.round(shapely.get_coordinates(part.exterior), 3)) for part in parts]
