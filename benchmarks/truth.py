"""Real cities with known changes: how many of them are detected, and what else is detected.

Cambridge, Massachusetts: FY2014 parcels and six vintages of its zoning map; FY2013 and FY2014 parcels. San Jose,
California: two vintages of its map. The data is read from `../shared/data` or below ZONING_SHARED.
"""

import csv
import os
import time
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from zoning_assets.model import CodeRules
from zoning_assets.transform.changes import change_event, zoning_changes, zoning_codes
from zoning_assets.transform.changes.parcel_changes import detect_parcel_changes
from zoning_assets.transform.geometry import crs
from zoning_assets.transform.geometry.content_hash import content_hashes

_SHARED = Path(os.environ.get("ZONING_SHARED", Path(__file__).parents[2] / "shared")) / "data"
_CAMBRIDGE = crs.metric_frame((-71.17, 42.35, -71.06, 42.41))
_SAN_JOSE = crs.metric_frame((-122.05, 37.12, -121.58, 37.47))


def available() -> bool:
    """Whether the real data is available."""
    return _SHARED.is_dir()


def measure(say: Callable[[str], None]) -> dict[str, Any]:
    """Compare all releases, with precision and recall if the truth is known."""
    say("Cambridge, zoning")
    zoning = _cambridge_zoning()
    say("Cambridge, parcels FY2013 to FY2014")
    parcels = _cambridge_parcels()
    say("San Jose, zoning")
    return {"cambridge_zoning": zoning, "cambridge_parcels": parcels, "san_jose_zoning": _san_jose()}


def _cambridge_zoning() -> list[dict[str, Any]]:
    folder = _SHARED / "cambridge_ma"
    truth = list(csv.DictReader((folder / "expected_zone_by_majority_area.csv").read_text().splitlines()))
    vintages = list(truth[0])[2:]
    lots = _read(folder / "parcels_FY2014_2249_shp.zip", _CAMBRIDGE)
    parcels = _frame(lots, key=lots["OBJECTID"].astype(str), zoning_code=None)
    maps = {each: _map(folder / f"zoning_{each}.geojson", "ZONE_TYPE", _CAMBRIDGE) for each in vintages}
    found = []
    for before, after in pairwise(vintages):
        started = time.monotonic()
        detected = zoning_changes.detect_zoning_changes(parcels, maps[before], maps[after])
        seconds = round(time.monotonic() - started, 1)
        events = detected.changes[detected.changes["state"] == change_event.EVENT]
        reported = {(ids[0], old, new) for kind, ids, old, new in _as_tuples(events) if kind == zoning_changes.REZONED}
        true = {(row["OBJECTID"], row[before], row[after]) for row in truth if row[before] != row[after]}
        right = len(reported & true)
        found.append(
            {
                "from": before,
                "to": after,
                "true": len(true),
                "told": len(reported),
                "precision": right / len(reported) if reported else 1.0,
                "recall": right / len(true) if true else 1.0,
                "partly": sum(kind == zoning_changes.PARTLY for kind, *_ in _as_tuples(events)),
                "review": int((detected.changes["state"] == change_event.REVIEW).sum()),
                "drift_m": detected.drift.drift_m,
                "tolerance_m": detected.drift.tolerance_m,
                "alarms": list(detected.alarms),
                "seconds": seconds,
            }
        )
    return found


def _as_tuples(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(zip(table["kind"], table["parcel_ids"], table["old"], table["new"], strict=True))


def _cambridge_parcels() -> dict[str, Any]:
    folder = _SHARED / "cambridge_ma"
    files = ("parcels_FY2013_2249.gpkg", "parcels_FY2014_2249_shp.zip")
    before, after = (_lots(folder / name) for name in files)
    old, new = set(before["key"]), set(after["key"])
    started = time.monotonic()
    detected = detect_parcel_changes(before, after, has_own_codes=False)
    reported = {key for ids in detected.changes["parcel_ids"] for key in ids}
    same = dict(zip(before["key"], before.geometry, strict=True))
    differing = sum(
        shapely.area(shapely.symmetric_difference(shape, same[key])) > 0.0929  # a square foot
        for key, shape in zip(after["key"], after.geometry, strict=True)
        if key in same
    )
    return {
        "kept": len(old & new),
        "kept_and_differing_by_a_square_foot": differing,
        "added": len(new - old),
        "removed": len(old - new),
        "added_or_removed_and_not_told": len((old ^ new) - reported),
        "events": dict(Counter(detected.changes["kind"])),
        "drift_m": detected.drift.drift_m,
        "tolerance_m": detected.drift.tolerance_m,
        "seconds": round(time.monotonic() - started, 1),
    }


def _lots(path: Path) -> gpd.GeoDataFrame:
    """Parcels by key; rows of a repeated key are dissolved."""
    lots = _read(path, _CAMBRIDGE)
    whole = lots[lots["ML"].notna()].dissolve("ML").reset_index()
    return _frame(whole, key=whole["ML"], zoning_code=None)


def _san_jose() -> dict[str, Any]:
    """There are no parcels: each district of the newer map is used as a parcel."""
    folder = _SHARED / "sanjose_ca"
    before, after = (_map(folder / f"Zoning_{day}.zip", "ZONING", _SAN_JOSE) for day in ("2014-07-23", "2014-10-23"))
    ids = [set(side["ZONING_ID"].astype(str)) for side in (before, after)]
    lots = _frame(
        after.drop_duplicates("ZONING_ID"),
        key=after.drop_duplicates("ZONING_ID")["ZONING_ID"].astype(str),
        zoning_code=None,
    )
    both = before.drop_duplicates("ZONING_ID").merge(
        pd.DataFrame(after).drop_duplicates("ZONING_ID"), on="ZONING_ID", suffixes=("_was", "_now")
    )
    recoded = both[both["code_was"] != both["code_now"]]
    detected = zoning_changes.detect_zoning_changes(lots, before, after)
    events = detected.changes[detected.changes["state"] == change_event.EVENT]
    return {
        "same_id_other_code": [
            list(map(str, row)) for row in recoded[["ZONING_ID", "code_was", "code_now"]].to_numpy()
        ],
        "ids_added": len(ids[1] - ids[0]),
        "ids_removed": len(ids[0] - ids[1]),
        "events": dict(Counter(events["kind"])),
        "rezoned": [
            [", ".join(ids), old, new] for kind, ids, old, new in _as_tuples(events) if kind == zoning_changes.REZONED
        ],
        "review": int((detected.changes["state"] == change_event.REVIEW).sum()),
        "drift_m": detected.drift.drift_m,
        "tolerance_m": detected.drift.tolerance_m,
        "alarms": list(detected.alarms),
    }


def _map(path: Path, column: str, frame: str) -> gpd.GeoDataFrame:
    """A zoning map with canonical codes."""
    rows = _read(path, frame)
    known = [each if isinstance(each, str) else None for each in rows[column]]
    spelled = zoning_codes.spell({each for each in known if each}, CodeRules(), {})
    columns = {"code": [spelled.get(each or "") for each in known], "code_local": known}
    objects = {name: pd.Series(values, dtype=object) for name, values in columns.items()}
    return _frame(rows.reset_index(drop=True), facet="base", **objects, effective=None)


def _frame(rows: gpd.GeoDataFrame, **columns: Any) -> gpd.GeoDataFrame:
    labelled = rows.assign(**columns).reset_index(drop=True)
    labels = labelled["code_local"] if "code_local" in labelled else labelled["key"]
    return labelled.assign(content_hash=content_hashes([labels.tolist()], labelled.geometry.to_numpy()))


@lru_cache(maxsize=16)
def _read(path: Path, frame: str) -> gpd.GeoDataFrame:
    """The rows of a file that have a geometry, made valid, in an equal-area frame."""
    rows = gpd.read_file(path)
    rows = rows[rows.geometry.notna() & ~rows.geometry.is_empty]
    shapes = crs.reproject(rows.geometry.to_numpy(), rows.crs.to_wkt(), frame)
    return gpd.GeoDataFrame(rows.drop(columns=rows.geometry.name), geometry=shapely.make_valid(shapes), crs=frame)
