"""A jurisdiction is data: a good file is read as it says, a wrong one gives one line that says what to mend."""

import re
from pathlib import Path

import pytest

from zoning_assets import jurisdictions
from zoning_assets.errors import JurisdictionInvalid, JurisdictionUnknown
from zoning_assets.model import PARCELS, PARCELS_JOIN, ZONE_TYPES, ZONING, CodeRules, Feed, Portal
from zoning_assets.sources import FEED_TYPES

GOOD = """\
id = "us-ma-cambridge"
name = "Cambridge, Massachusetts"
bounds = [-71.17, 42.35, -71.06, 42.41]
target_crs = "EPSG:3857"
tile_resolution = 8

[feeds.parcels]
type = "arcgis"
url = "https://example.org/arcgis/rest/services/Parcels/FeatureServer/0"
crs = "EPSG:2249"
key = "ML"
on_null_key = "reject"
on_repeated_key = "dissolve"
full_refresh_days = 7
page_size = 500
  [feeds.parcels.fields]
  address = "SITE_ADDR"
  land_use = "USE_CODE"
  zoning_code = "ZONE"

[feeds.zoning]
type = "download"
url = "zoning.gpkg"
layer = "zones"
geometry = "the_geom"
  [feeds.zoning.fields]
  code = "ZONE_TYPE"
  effective = "EFFECTIVE"

[portal]
requests_per_minute = 15
connections = 1
maintenance = ["Sun 02:00-06:00 America/New_York", "Sat 22:00-24:00 UTC"]
quiet_hours = ["Mon-Fri 08:00-17:00 America/New_York", "22:00-23:30 UTC"]

[codes]
version = "2025-02"
listed = ["A-1", "C-1", "BA"]
conditions = ["(PD)", "(CL)"]
overlays = ["HP"]
pud = ["PUD"]
  [codes.same]
  "Residence C-1" = "C-1"
  [codes.types]
  "A-1" = "Primarily Residential"
  "Mixed with Residential" = ["BA", "C-1"]
"""
SHORT = """\
id = "us-ma-cambridge"
name = "Cambridge, Massachusetts"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "arcgis"
url = "https://example.org/0"
key = "ML"
"""


def written(folder: Path, text: str, name: str = "us-ma-cambridge") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_file_is_read_as_it_says(tmp_path):
    """Every key of the public file format arrives in its place."""
    path = written(tmp_path, GOOD)
    found = jurisdictions.read(path, FEED_TYPES)
    assert (found.id, found.name, found.file) == ("us-ma-cambridge", "Cambridge, Massachusetts", str(path))
    assert (found.bounds, found.target_crs, found.tile_resolution) == ((-71.17, 42.35, -71.06, 42.41), "EPSG:3857", 8)
    maintenance = ("Sun 02:00-06:00 America/New_York", "Sat 22:00-24:00 UTC")
    assert found.portal == Portal(15, 1, maintenance, ("Mon-Fri 08:00-17:00 America/New_York", "22:00-23:30 UTC"))
    parcels = {"address": "SITE_ADDR", "land_use": "USE_CODE", "zoning_code": "ZONE"}
    url = "https://example.org/arcgis/rest/services/Parcels/FeatureServer/0"
    policies = {"on_null_key": "reject", "on_repeated_key": "dissolve", "full_refresh_days": 7, "page_size": 500}
    assert found.feeds[PARCELS] == Feed(PARCELS, "arcgis", url, crs="EPSG:2249", key="ML", fields=parcels, **policies)
    fields = {"code": "ZONE_TYPE", "effective": "EFFECTIVE"}
    assert found.feeds[ZONING] == Feed(
        ZONING, "download", "zoning.gpkg", layer="zones", geometry="the_geom", fields=fields
    )


JOIN = """
[feeds.parcels.join]
type = "download"
url = "assess.csv"
key = "MAP_LOT"
on_repeated_key = "first"
may_shrink = 0.5
  [feeds.parcels.join.columns]
  owner = "OWNER"
"""


def test_a_clause_and_a_table_to_join_are_read_as_they_say(tmp_path):
    """The table is a feed whose fields are the columns to take."""
    clause = "TOWN = 'O''Brien (N)' AND (A > 1 OR B IS NULL)"
    text = GOOD.replace('key = "ML"', f'key = "ML"\nwhere = "{clause}"') + JOIN
    (tmp_path / "us-ma-cambridge.toml").write_text(text)
    feed = jurisdictions.load("us-ma-cambridge", tmp_path, FEED_TYPES).feeds[PARCELS]
    assert feed.where == clause
    table = {"key": "MAP_LOT", "on_repeated_key": "first", "may_shrink": 0.5, "fields": {"owner": "OWNER"}}
    assert feed.join == Feed(PARCELS_JOIN, "download", "assess.csv", **table)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (JOIN.replace('key = "MAP_LOT"\n', ""), "feeds.parcels.join.key is missing"),
        (JOIN.replace("first", "suffix"), "feeds.parcels.join.on_repeated_key: 'suffix' is not one of: reject, first"),
        (JOIN.replace("owner", "land_use"), "feeds.parcels.join.columns.land_use: the layer's own `fields` have it"),
        (JOIN.replace('"OWNER"', "5"), "feeds.parcels.join.columns.owner: must be text"),
        (JOIN.partition("  [feeds")[0], "feeds.parcels.join.columns is missing"),
        (JOIN.replace("feeds.parcels", "feeds.zoning"), "feeds.zoning.join: unknown key"),
        (JOIN.replace("may_shrink", "strategy"), "feeds.parcels.join.strategy: unknown key"),
    ],
)
def test_a_wrong_table_to_join_gives_one_line(tmp_path, wrong, says):
    (tmp_path / "us-ma-cambridge.toml").write_text(GOOD + wrong)
    with pytest.raises(JurisdictionInvalid) as caught:
        jurisdictions.load("us-ma-cambridge", tmp_path, FEED_TYPES)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


OVERLAY = """
[feeds.overlays.flood-2024]
type = "arcgis"
url = "https://example.org/arcgis/rest/services/Flood/MapServer/0"
where = "CITY = 'A'"
separator = " / "
  [feeds.overlays.flood-2024.fields]
  code = "FLD_ZONE"
"""


def test_overlay_layers_are_read_as_they_say(tmp_path):
    """They belong to the zoning map, and the rules of codes know their separators."""
    (tmp_path / "us-ma-cambridge.toml").write_text(GOOD + OVERLAY)
    found = jurisdictions.load("us-ma-cambridge", tmp_path, FEED_TYPES)
    url = "https://example.org/arcgis/rest/services/Flood/MapServer/0"
    fields = {"where": "CITY = 'A'", "separator": " / ", "fields": {"code": "FLD_ZONE"}}
    assert found.feeds[ZONING].overlays == {"flood-2024": Feed("overlay-flood-2024", "arcgis", url, **fields)}
    assert found.codes.layers == {"flood-2024": " / "}
    assert found.codes.listed == ("A-1", "C-1", "BA")
    assert found.feeds.keys() == {PARCELS, ZONING}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + OVERLAY.replace("flood-2024", "Flood"), "feeds.overlays.Flood: a name has lower-case letters"),
        (GOOD + OVERLAY + 'key = "ID"', "feeds.overlays.flood-2024.fields.key: unknown key"),
        (GOOD + OVERLAY.replace("separator", "may_shrink"), "feeds.overlays.flood-2024.may_shrink: unknown key"),
        (GOOD + OVERLAY.replace("  [feeds", 'key = "ID"\n  [feeds'), "feeds.overlays.flood-2024.key: needed if"),
        (GOOD + OVERLAY.replace("separator", "axes").replace(" / ", "lat-lon"), "flood-2024.axes: arcgis finds"),
        (GOOD.replace('code = "ZONE_TYPE"', "") + OVERLAY, "feeds.overlays: a map is needed"),
        (GOOD + '[feeds.overlays]\nflood = "x"', "feeds.overlays.flood: must be a table"),
        (GOOD.replace("[feeds.zoning", "[feeds.overlays.zoning") + "", "feeds.overlays: a map is needed"),
    ],
)
def test_a_wrong_overlay_layer_gives_one_line(tmp_path, text, says):
    (tmp_path / "us-ma-cambridge.toml").write_text(text)
    with pytest.raises(JurisdictionInvalid) as caught:
        jurisdictions.load("us-ma-cambridge", tmp_path, FEED_TYPES)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("clause", "says"),
    [
        ("TOWN = 'A", "unexpected '"),
        ("(TOWN = 'A'", "a parenthesis is not closed"),
        ("TOWN = 'A') OR (1 = 1", "unexpected )"),
        ("TOWN = 'A' -- all", "unexpected --"),
        ("TOWN = 'A'; DROP", "unexpected ;"),
        ("TOWN = 'A\\nB'", "must be one line"),
        ("A" * 1001, "at most 1,000 characters"),
    ],
)
def test_a_wrong_clause_gives_one_line(tmp_path, clause, says):
    """What would change the meaning of the clause where it is combined with others."""
    text = GOOD.replace('key = "ML"', f'key = "ML"\nwhere = "{clause}"')
    (tmp_path / "us-ma-cambridge.toml").write_text(text)
    with pytest.raises(JurisdictionInvalid) as caught:
        jurisdictions.load("us-ma-cambridge", tmp_path, FEED_TYPES)
    assert "feeds.parcels.where: " in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_codes_of_a_file_are_read_as_it_says(tmp_path):
    """A type is said by code or with the list of its codes; the codes that have a type are the list where none is."""
    types = {"A-1": ZONE_TYPES[0], "BA": ZONE_TYPES[1], "C-1": ZONE_TYPES[1]}
    rules = CodeRules(
        "2025-02", ("A-1", "C-1", "BA"), ("(PD)", "(CL)"), ("HP",), ("PUD",), {"Residence C-1": "C-1"}, types
    )
    assert jurisdictions.read(written(tmp_path, GOOD), FEED_TYPES).codes == rules
    unlisted = GOOD.replace('listed = ["A-1", "C-1", "BA"]\n', "")
    assert jurisdictions.read(written(tmp_path, unlisted), FEED_TYPES).codes.listed == ("A-1", "BA", "C-1")
    assert jurisdictions.read(written(tmp_path, SHORT), FEED_TYPES).codes == CodeRules()


def test_a_short_file_has_careful_defaults(tmp_path):
    """What a file does not say is degrees, automatic tiles, 30 requests a minute over 2 connections, and reject."""
    found = jurisdictions.read(written(tmp_path, SHORT), FEED_TYPES)
    assert (found.target_crs, found.tile_resolution, found.portal) == ("EPSG:4326", None, Portal(30, 2, ()))
    assert found.feeds == {PARCELS: Feed(PARCELS, "arcgis", "https://example.org/0", key="ML")}
    assert found.feeds[PARCELS].on_repeated_key == "reject"


WRONG = [
    ('key = "ML"', 'kye = "ML"', "feeds.parcels.kye", "did you mean 'key'"),
    ("name =", "nmae =", "nmae", "valid are: id, name, bounds, target_crs, tile_resolution, feeds, portal"),
    ("[feeds.zoning]", "[feeds.zonning]", "feeds.zonning", "valid are: parcels, zoning"),
    ("SITE_ADDR", "", "feeds.parcels.fields.address", "must be text"),
    ("  address =", "  adress =", "feeds.parcels.fields.adress", "valid are: address, land_use, zoning_code"),
    ("requests_per_minute", "requests_per_hour", "portal.requests_per_hour", "did you mean 'requests_per_minute'"),
    ('name = "Cambridge, Massachusetts"', "name = 5", "name", "must be text"),
    ('name = "Cambridge, Massachusetts"\n', "", "name", "is missing"),
    ('key = "ML"\n', "", "feeds.parcels.key", "is missing"),
    ('"https://example.org/arcgis/rest/services/Parcels/FeatureServer/0"', "7", "feeds.parcels.url", "must be text"),
    ('type = "arcgis"', 'type = "argis"', "feeds.parcels.type", "'argis' is not one of: arcgis, ckan, download"),
    ('type = "arcgis"\n', "", "feeds.parcels.type", "is missing; choose one of: arcgis, ckan, download"),
    ("bounds = [-71.17, 42.35, -71.06, 42.41]\n", "", "bounds", "bounds is missing"),
    ("bounds =", "bonds =", "bonds", "did you mean 'bounds'"),
    ('type = "arcgis"', 'type = "argis"', "feeds.parcels.type", "did you mean 'arcgis'"),
    ('"dissolve"', '"first"', "feeds.parcels.on_repeated_key", "is not one of: reject, dissolve, suffix"),
    ('"dissolve"', '["dissolve"]', "feeds.parcels.on_repeated_key", "is not one of: reject, dissolve, suffix"),
    ('on_null_key = "reject"', 'on_null_key = "keep"', "feeds.parcels.on_null_key", "is not one of: reject"),
    ("full_refresh_days = 7", "full_refresh_days = 0", "feeds.parcels.full_refresh_days", "from 1 to 3650"),
    ("page_size = 500", 'page_size = "500"', "feeds.parcels.page_size", "a whole number from 1 to"),
    ("page_size = 500", "page_size = true", "feeds.parcels.page_size", "a whole number from 1 to"),
    ("[-71.17, 42.35, -71.06, 42.41]", "[42.35, -71.17, 42.41]", "bounds", "[west, south, east, north]"),
    ("[-71.17, 42.35, -71.06, 42.41]", "[-71.06, 42.35, -71.17, 42.41]", "bounds", "west below east"),
    ("[-71.17, 42.35, -71.06, 42.41]", "[-71.17, 42.35, -71.06, 942.41]", "bounds", "in degrees"),
    ("[-71.17, 42.35, -71.06, 42.41]", "[-71.17, false, true, 42.41]", "bounds", "in degrees"),
    ("[-71.17, 42.35, -71.06, 42.41]", '"world"', "bounds", "in degrees"),
    ("[-71.17, 42.35, -71.06, 42.41]", "[-71.17, nan, -71.06, 42.41]", "bounds", "in degrees"),
    ('"EPSG:2249"', '"EPSG:224999"', "feeds.parcels.crs", "is not a CRS; give it like"),
    ('"EPSG:2249"', "2249", "feeds.parcels.crs", "must be text"),
    ('"EPSG:3857"', '"EPSG:2249"', "target_crs", "is not one of: EPSG:4326, EPSG:3857"),
    ("tile_resolution = 8", "tile_resolution = 11", "tile_resolution", '"auto" or a whole number from 0 to 10'),
    ("tile_resolution = 8", 'tile_resolution = "fine"', "tile_resolution", '"auto" or a whole number from 0 to 10'),
    ("America/New_York", "America/Boston", "portal.maintenance", "'America/Boston' is not a time zone"),
    ("America/New_York", "America", "portal.maintenance", "is not a time zone"),
    ("America/New_York", "../../etc/passwd", "portal.maintenance", "is not a time zone"),
    ("Sun 02:00", "Sunday 02:00", "portal.maintenance", "must be like"),
    ("Sun 02:00", "Son 02:00", "portal.maintenance", "must be like"),
    ("Sun 02:00", "Sun 25:00", "portal.maintenance", "must be like"),
    ('["Sun 02:00-06:00 America/New_York", "Sat 22:00-24:00 UTC"]', '"Sat 1"', "portal.maintenance", "must be a list"),
    ("Mon-Fri 08:00", "Mon-Fri 8:00", "portal.quiet_hours", "must be like"),
    ("Mon-Fri 08:00", "Mon-Fr 08:00", "portal.quiet_hours", "must be like"),
    ('"22:00-23:30 UTC"', "2200", "portal.quiet_hours", "must be like"),
    ('"22:00-23:30 UTC"', '"22:00-23:30 Mars"', "portal.quiet_hours", "'Mars' is not a time zone"),
    ('"22:00-23:30 UTC"', '"22:00-23:30 Mars\\nX"', "portal.quiet_hours", "must be like"),
    ("quiet_hours", "quiet_hour", "portal.quiet_hour", "did you mean 'quiet_hours'"),
    ("connections = 1", "connections = 0", "portal.connections", "from 1 to 64"),
    ('id = "us-ma-cambridge"', 'id = "us-ma-boston"', "id", "must be the file's name"),
    ('id = "us-ma-cambridge"', 'id = "US MA"', "id", "lower-case letters, digits and hyphens"),
    (GOOD[GOOD.index("[feeds.parcels]") : GOOD.index("[portal]")], "", "feeds", "feeds is missing"),
    (GOOD[GOOD.index("[feeds.parcels]") :], "[feeds]\nparcels = 3", "feeds.parcels", "must be a table"),
    ('version = "2025-02"\n', "", "codes.version", "is missing"),
    ('version = "2025-02"', "version = 2025", "codes.version", "must be text"),
    ("overlays =", "overlay =", "codes.overlay", "did you mean 'overlays'"),
    ("[codes.same]", "[codes.sames]", "codes.sames", "valid are: version, listed, conditions, overlays,"),
    ('["HP"]', '"HP"', "codes.overlays", "must be a list of texts"),
    ('["PUD"]', '["PUD", " "]', "codes.pud", "must be a list of texts that are not empty"),
    ('["A-1", "C-1", "BA"]', "[1]", "codes.listed", "must be a list of texts"),
    ('"Residence C-1" = "C-1"', '"Residence C-1" = 1', "codes.same.Residence C-1", "must be text"),
    ('"Residence C-1" = "C-1"', '"X" = "Y"\n"Y" = "C-1"', "codes.same.X", "'Y' is itself renamed"),
    ('"Primarily Residential"', '"Residential"', "codes.types.A-1", "is not one of: Primarily Residential, Mixed"),
    ('"Mixed with Residential" = [', '"Mixed" = [', "codes.types.Mixed", "'Mixed' is not one of: Primarily"),
    ('["BA", "C-1"]', '["BA", "A-1"]', "codes.types.Mixed with Residential", "'A-1' is 'Primarily"),
    ('["BA", "C-1"]', '["BA", 1]', "codes.types.Mixed with Residential", "must be a list of texts"),
    ('"A-1" = "Primarily Residential"', '"A-1" = {}', "codes.types.A-1", "is not one of"),
    (GOOD[GOOD.index("  [codes.types]") :], "types = 3", "codes.same.types", "must be text"),
    (GOOD[GOOD.index("  [codes.same]") :], "types = 3", "codes.types", "must be a table"),
    (GOOD[GOOD.index("[codes]") :], "[codes]", "codes.version", "is missing"),
    (GOOD[GOOD.index("[codes]") :], "[[codes]]", "codes", "must be a table"),
    ('tile_resolution = 8', 'tile_resolution = 8\nportal = 3', None, "not TOML"),
    ("name =", "name", None, "not TOML"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "wrong", "key", "hint"), WRONG)
def test_a_wrong_file_gives_one_line(tmp_path, good, wrong, key, hint):
    """A typo, a wrong type or an impossible value is one line with the file, the key and what is valid there."""
    assert good in GOOD
    path = written(tmp_path, GOOD.replace(good, wrong, 1))
    with pytest.raises(JurisdictionInvalid) as caught:
        jurisdictions.read(path, FEED_TYPES)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{path}: ")
    assert key is None or re.match(re.escape(f"{path}: {key}") + "(: | is missing)", line)
    assert hint in line
    assert caught.value.exit_status == 2


def test_bytes_that_are_no_text_give_one_line(tmp_path):
    """A file that is not UTF-8, or cannot be read at all, is named like any other wrong one."""
    path = tmp_path / "us-ma-cambridge.toml"
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(JurisdictionInvalid, match="not UTF-8"):
        jurisdictions.read(path, FEED_TYPES)
    path.unlink()
    path.mkdir()
    with pytest.raises(JurisdictionInvalid, match="it is a folder"):
        jurisdictions.read(path, FEED_TYPES)


def test_the_users_file_wins(tmp_path):
    """A file in the user's folder stands in place of the packaged one with the same id."""
    written(tmp_path, SHORT.replace("Cambridge, Massachusetts", "Mine"))
    assert "us-ma-cambridge" in jurisdictions.files(tmp_path / "absent")
    assert jurisdictions.load("us-ma-cambridge", tmp_path, FEED_TYPES).name == "Mine"
    assert jurisdictions.load("us-ma-cambridge", tmp_path / "absent", FEED_TYPES).name != "Mine"


def test_an_unknown_jurisdiction_names_its_neighbours(tmp_path):
    """An id without a file is answered with the nearest ids and where a new file would go."""
    with pytest.raises(JurisdictionUnknown, match="us-ma-cambridge") as caught:
        jurisdictions.load("us-ma-cambrige", tmp_path, FEED_TYPES)
    assert str(tmp_path / "us-ma-cambrige.toml") in str(caught.value)


PACKAGED = sorted(jurisdictions.PACKAGED.glob("*.toml"))


def test_there_are_examples_enough():
    """At least six real cities are shipped, Cambridge among them."""
    assert "us-ma-cambridge" in {path.stem for path in PACKAGED}
    assert len(PACKAGED) >= 6


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: path.stem)
def test_every_packaged_file_loads(path, tmp_path):
    """Each shipped example is valid, 25 to 45 lines, asks by https, and says that its addresses are to be checked."""
    found = jurisdictions.load(path.stem, tmp_path, FEED_TYPES)
    text = path.read_text(encoding="utf-8")
    assert 25 <= len(text.splitlines()) <= 45
    assert re.search(r"# .*public knowledge.*check", text, re.DOTALL)
    assert all(feed.url.startswith("https://") for feed in found.feeds.values())
    assert found.feeds[PARCELS].key
    west, south, east, north = found.bounds
    assert -125 < west < east < -66
    assert 24 < south < north < 50
    assert east - west < 2
    assert north - south < 2
    assert found.portal.requests_per_minute <= 30
    assert found.portal.connections <= 2


@pytest.mark.parametrize("jurisdiction", ["us-ma-cambridge", "us-ca-san-jose"])
def test_packaged_codes_say_that_they_are_to_be_checked(jurisdiction, tmp_path):
    """The codes of the examples all have a type, a version, and a word of doubt."""
    rules = jurisdictions.load(jurisdiction, tmp_path / "absent", FEED_TYPES).codes
    assert rules.version
    assert set(rules.listed) == set(rules.types)
    text = (jurisdictions.PACKAGED / f"{jurisdiction}.toml").read_text(encoding="utf-8")
    assert re.search(r"\[codes\] +# .*check before use", text)


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: path.stem)
def test_arcgis_addresses_are_layers(path, tmp_path):
    """A shipped ArcGIS address ends in a layer's number, as the feed type needs it."""
    found = jurisdictions.load(path.stem, tmp_path, FEED_TYPES)
    for feed in found.feeds.values():
        assert feed.type != "arcgis" or re.search(r"/(Feature|Map)Server/\d+$", feed.url)


def test_limits_of_tripwires_are_numbers_by_name(tmp_path: Path) -> None:
    """A limit of one's own; a name that is none, and a limit that is none, are one line."""
    good = written(tmp_path, GOOD + "[tripwires]\nmass_rezoning = 0.4\nshifted = 10\n")
    assert jurisdictions.read(good, FEED_TYPES).tripwires == {
        "mass_rezoning": 0.4,
        "shifted": 10.0,
    }
    for table, why in (("mass_rezonin = 1", "did you mean 'mass_rezoning'"), ("shifted = -1", "not negative")):
        with pytest.raises(JurisdictionInvalid, match=why):
            jurisdictions.read(written(tmp_path, f"{GOOD}[tripwires]\n{table}\n"), FEED_TYPES)
