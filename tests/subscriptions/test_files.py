"""Atom feeds and delta files, read by programs that are not ours."""

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import geopandas as gpd
import orjson
import pyogrio
import pytest
from lxml import etree

from tests.subscriptions.log_rows import TOWN, change, deliver, retract, subscribe, tell
from zoning_assets.errors import SettingInvalid
from zoning_assets.storage.postgis.records.delivery_records import SubscriptionEvent
from zoning_assets.subscriptions import atom_feed, delta_export
from zoning_assets.subscriptions.digest import digest

ATTACK = "<script>alert(1)</script>]]>&\u202e\x00\x08=cmd\r\n"
ATOM = {"a": "http://www.w3.org/2005/Atom"}
#: What RFC 4287 demands of a feed and of an entry, as a RELAX NG schema (its appendix B, without extensions).
SCHEMA = """
<element name="feed" xmlns="http://relaxng.org/ns/structure/1.0" ns="http://www.w3.org/2005/Atom"
    datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">
  <interleave>
    <element name="id"><data type="anyURI"/></element><element name="title"><text/></element>
    <element name="updated"><data type="dateTime"/></element>
    <element name="author"><element name="name"><text/></element></element>
    <zeroOrMore><element name="entry"><interleave>
      <element name="id"><data type="anyURI"/></element><element name="title"><text/></element>
      <element name="updated"><data type="dateTime"/></element>
      <element name="content"><attribute name="type"><value>text</value></attribute><text/></element>
      <zeroOrMore><element name="category"><attribute name="term"/><empty/></element></zeroOrMore>
    </interleave></element></zeroOrMore>
  </interleave>
</element>
"""


def event(**more: object) -> SubscriptionEvent:
    at = datetime(2026, 11, 30, 12, tzinfo=UTC)
    values = {
        "position": 1, "number": 1, "action": "changed", "at": at, "change_id": "c", "jurisdiction": TOWN,
        "kind": "rezoned", "facet": "base", "parcel_ids": ["1"], "old": "R-1", "new": "R-2", "area_m2": 400.4,
        "share": 1.0, "confidence": 0.9, "effective": date(2026, 11, 2), "detected": at,
    }  # fmt: skip
    return SubscriptionEvent(**{**values, **more})  # type: ignore[arg-type]


def test_a_feed_a_jurisdiction(database: str, tmp_path: Path) -> None:
    subscribe(database, "atom", str(tmp_path / "feeds"))
    tell(database, change("a", "1"), change("b", "2", jurisdiction="us-ma-other"), change("c", "3"))
    deliver(database)
    retract(database, "a")
    deliver(database)
    assert sorted(path.name for path in (tmp_path / "feeds").iterdir()) == ["us-ma-other.atom", f"{TOWN}.atom"]
    feed = etree.parse(tmp_path / "feeds" / f"{TOWN}.atom")
    assert etree.RelaxNG(etree.fromstring(SCHEMA)).validate(feed)
    titles = feed.xpath("//a:entry/a:title/text()", namespaces=ATOM)
    assert titles == [
        "Retracted: it is no longer so that parcel 1 was rezoned from R-1 to R-2 (400 m2).",
        "Parcel 3 was rezoned from R-1 to R-2 (400 m2).",
        "Parcel 1 was rezoned from R-1 to R-2 (400 m2).",
    ]
    ids = feed.xpath("//a:id/text()", namespaces=ATOM)
    assert len(set(ids)) == 4


def test_a_feed_keeps_its_newest_entries_and_a_name_that_is_no_file_is_not_written(
    database: str, tmp_path: Path
) -> None:
    subscribe(database, "atom", str(tmp_path / "feeds"))
    many = [change(f"c{number}", str(number)) for number in range(130)]
    tell(database, *many, change("x", "1", jurisdiction="../../evil"))
    deliver(database)
    assert [path.name for path in tmp_path.rglob("*.atom")] == [f"{TOWN}.atom"]
    feed = etree.parse(tmp_path / "feeds" / f"{TOWN}.atom")
    titles = feed.xpath("//a:entry/a:title/text()", namespaces=ATOM)
    assert (len(titles), titles[0][:11]) == (atom_feed.MOST_ENTRIES, "Parcel 129 ")


def test_two_subscriptions_do_not_write_the_same_feeds(database: str, tmp_path: Path) -> None:
    subscribe(database, "atom", str(tmp_path))
    with pytest.raises(SettingInvalid, match="the subscription it writes its feeds there"):
        subscribe(database, "atom", str(tmp_path), "other", kinds=["split"])
    subscribe(database, "delta", str(tmp_path), "files")
    subscribe(database, "atom", str(tmp_path / "other"), "other")


def test_attacks_are_text_in_a_feed_and_in_a_digest() -> None:
    attacked = event(parcel_ids=[ATTACK], old=ATTACK, new=ATTACK, kind=ATTACK, ordinances=[ATTACK], jurisdiction=ATTACK)
    feed = etree.fromstring(atom_feed.feed_of("0f0e0d0c-0000-4000-8000-000000000000", ATTACK, [attacked]))
    assert etree.RelaxNG(etree.fromstring(SCHEMA)).validate(feed)
    assert feed.xpath("//*[local-name() = 'script']") == []
    for text in (*feed.itertext(), digest([attacked])):
        assert not {"\u202e", "\x00", "\x08", "\r"} & set(text)
    assert "<script>alert(1)</script>]]>& =cmd" in feed.findtext("a:entry/a:content", namespaces=ATOM)


def test_a_delta_is_opened_by_other_programs(database: str, tmp_path: Path) -> None:
    """GDAL, geopandas and DuckDB see the same rows, in order, with the shapes."""
    subscribe(database, "delta", str(tmp_path / "out"))
    tell(database, change("a", "1", old=ATTACK.replace("\x00", "")), change("b", "2", "3", wkt=None), change("c", "4"))
    deliver(database)
    deliver(database)
    retract(database, "a")
    deliver(database)
    first, second = sorted((tmp_path / "out").glob("*.parquet"))
    assert (first.name, second.name) == ("it-000000000001-000000000003.parquet", "it-000000000004-000000000004.parquet")
    frame = gpd.read_parquet(first)
    assert frame.crs == "OGC:CRS84"
    assert frame["change"].tolist() == ["a", "b", "c"]
    assert frame["old"][0] == ATTACK.replace("\x00", "")
    assert frame["parcel_ids"].map(list).tolist() == [["1"], ["2", "3"], ["4"]]
    assert frame.geometry.isna().tolist() == [False, True, False]
    assert gpd.read_parquet(second)["action"].tolist() == ["retracted"]
    found = duckdb.sql(f"SELECT change, area_m2, recorded FROM '{first}' ORDER BY position").fetchall()
    assert [row[:2] for row in found] == [("a", 400.0), ("b", 400.0), ("c", 400.0)]
    sequence = pyogrio.read_dataframe(first.with_suffix(".geojsons"))
    assert sequence["change"].tolist() == ["a", "b", "c"]
    assert sequence.geometry[0].equals(frame.geometry[0])


def test_gdal_recognizes_a_sequence(tmp_path: Path) -> None:
    path = tmp_path / "x.geojsons"
    path.write_bytes(delta_export.geojson_sequence([event(), event(parcel_ids=[ATTACK])]))
    records = path.read_bytes().split(b"\x1e")[1:]
    assert [orjson.loads(each)["properties"]["parcel_ids"] for each in records] == [["1"], [ATTACK]]
    driver = pyogrio.read_info(path)["driver"]
    assert driver == "GeoJSONSeq"


def test_a_repeated_delivery_writes_the_same_files(database: str, tmp_path: Path) -> None:
    """After a failure, and although something was committed meanwhile."""
    target = tmp_path / "out"
    subscribe(database, "delta", str(target))
    tell(database, change("a", "1"))
    target.write_text("a file where the folder should be")
    (result,) = deliver(database)
    assert result.error
    target.unlink()
    tell(database, change("b", "1"))
    deliver(database)
    names = sorted(path.name for path in target.glob("*.parquet"))
    assert names == ["it-000000000001-000000000001.parquet", "it-000000000002-000000000002.parquet"]
