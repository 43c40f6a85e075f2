"""`zoning_assets.connect()`: the rows of the database as GeoDataFrames, read with a role that cannot write."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import geopandas as gpd
import pandas as pd
import psycopg
import pytest
import shapely

import zoning_assets
from tests.conftest import rows
from tests.support.changed_county import ChangedCounty
from zoning_assets.errors import JurisdictionUnknown, NothingFound, SettingInvalid, ZoningError
from zoning_assets.geodataframes import ZoningDatabase
from zoning_assets.simulation.county.county import BOUNDS, ID
from zoning_assets.storage.postgis.records import change_records


@pytest.fixture(scope="module")
def county(published_county: ChangedCounty) -> ZoningDatabase:
    return zoning_assets.connect(published_county.url)


def _is_sound(frame: gpd.GeoDataFrame) -> None:
    """In degrees, in the county, and with a CRS that GeoPandas knows."""
    assert isinstance(frame, gpd.GeoDataFrame)
    assert frame.crs.to_epsg() == 4326
    shapes = frame.geometry.dropna()
    assert len(shapes)
    assert shapely.box(*BOUNDS).buffer(0.05).contains(shapes.union_all().centroid)


def test_three_lines(published_county: ChangedCounty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZONING_DATABASE_URL", published_county.url)
    county = zoning_assets.connect()
    found = county.changes(ID, kind="rezoned")
    truth = published_county.truth.truth
    assert truth is not None
    assert {each[0]: (old, new) for each, old, new in zip(found.parcel_ids, found.old, found.new, strict=True)} == dict(
        truth.rezoned
    )


def test_parcels(county: ZoningDatabase, published_county: ChangedCounty) -> None:
    found = county.parcels(ID)
    _is_sound(found)
    ((count, area),) = rows(published_county.url, "SELECT count(*), sum(area_m2) FROM zoning.parcel")
    assert (len(found), found["area_m2"].sum()) == (count, pytest.approx(area))
    assert found["parcel_id"].is_unique
    assert set(found.geom_type) == {"MultiPolygon"}
    assert isinstance(found["last_changed"].dtype, pd.DatetimeTZDtype)
    measured = found.to_crs(found.estimate_utm_crs()).area
    assert measured.sum() == pytest.approx(area, rel=0.002)


def test_districts(county: ZoningDatabase) -> None:
    found = county.districts(ID)
    _is_sound(found)
    assert {"R-2", "PD-12"} <= set(found["code"])
    assert isinstance(found["attributes"].iloc[0], dict)


def test_changes_are_those_of_the_command(county: ZoningDatabase, published_county: ChangedCounty) -> None:
    found = county.changes(ID)
    _is_sound(found)
    feed = change_records.find(published_county.url, jurisdiction=ID, state="event")
    assert found["id"].tolist() == [each["id"] for each in feed]
    assert found["confidence"].tolist() == [each["confidence"] for each in feed]
    assert len(county.changes(ID, limit=2)) == 2
    later = datetime.now(UTC) + timedelta(days=1)
    nothing = county.changes(ID, since=later)
    assert (len(nothing), list(nothing.columns)) == (0, list(found.columns))
    assert len(county.changes(ID, until=later)) == len(found)
    assert len(county.changes(ID, since="2020-01-01")) == len(found)


def test_what_was_known_before(county: ZoningDatabase, published_county: ChangedCounty) -> None:
    """Before the second release each rezoned lot has its old code, and now its new one."""
    truth = published_county.truth.truth
    assert truth is not None
    ((before,),) = rows(published_county.url, "SELECT judged FROM zoning.release ORDER BY id LIMIT 1")
    old, new = (county.as_of(ID, known=known).set_index("parcel_id") for known in (before, None))
    _is_sound(old.reset_index())
    for parcel, codes in truth.rezoned.items():
        assert (old.loc[parcel, "zoning_code"], new.loc[parcel, "zoning_code"]) == codes
    parent, children = next(iter(truth.split.items()))
    assert parent in old.index
    assert parent not in new.index
    assert set(children) <= set(new.index) - set(old.index)


def test_a_legal_day_is_a_day(county: ZoningDatabase) -> None:
    found = [county.as_of(ID, legal=each) for each in ("2031-01-01", datetime(2031, 1, 1, tzinfo=UTC).date())]
    assert len(found[0]) == len(found[1]) > 0


def test_the_history_of_a_lot(county: ZoningDatabase, published_county: ChangedCounty) -> None:
    truth = published_county.truth.truth
    assert truth is not None
    parcel, codes = next(iter(truth.rezoned.items()))
    found = county.history(ID, parcel)
    _is_sound(found)
    known = found.dropna(subset=["zoning_code"])
    assert tuple(dict.fromkeys(known["zoning_code"])) == codes
    assert found["until"].isna().tolist() == [False] * (len(found) - 1) + [True]
    assert found["until"].tolist()[:-1] == found["since"].tolist()[1:]
    parent = next(iter(truth.split))
    assert county.history(ID, parent)["until"].notna().all()


def test_jurisdictions(county: ZoningDatabase) -> None:
    (row,) = county.jurisdictions().to_dict("records")
    assert (row["jurisdiction"], row["parcels"] > 300, row["districts"]) == (ID, True, len(county.districts(ID)))


def test_nothing_can_be_written(county: ZoningDatabase) -> None:
    with psycopg.connect(county.url) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("zoning_reader",)
        with pytest.raises(psycopg.Error):
            connection.execute("DELETE FROM zoning.watch")


def test_what_is_wrong_is_one_line(county: ZoningDatabase) -> None:
    wrong = [
        (JurisdictionUnknown, lambda: county.parcels("us-xx-nonesuch"), "choose one of: us-xx-simulated"),
        (JurisdictionUnknown, lambda: county.changes("us-xx-nonesuch"), "it was never published"),
        (NothingFound, lambda: county.history(ID, "nonesuch' OR true --"), "no parcel has or had this id"),
        (SettingInvalid, lambda: county.changes(ID, kind="nonesuch"), "choose one of: rezoned"),
        (SettingInvalid, lambda: county.changes(ID, since="yesterday"), "is not a time"),
        (SettingInvalid, lambda: county.changes(ID, limit=-1), "is not a number of changes"),
        (ZoningError, lambda: zoning_assets.connect("postgresql://127.0.0.1:1/none").jurisdictions(), "127.0.0.1:1"),
    ]
    for kind, call, says in wrong:
        with pytest.raises(kind, match=says) as refused:
            call()
        assert "\n" not in str(refused.value)


def test_no_password_is_shown(county: ZoningDatabase, published_county: ChangedCounty) -> None:
    assert "@" not in repr(county)
    assert published_county.name in repr(county)


def test_the_import_is_cheap() -> None:
    code = "import sys, zoning_assets; zoning_assets.connect; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"geopandas", "pandas", "numpy", "psycopg", "shapely"} & set(done.stdout.split())
