"""docs/reference/jurisdiction-file.md: every key of a jurisdiction file.

Keys and defaults are those of the model (model.py); the meanings are written here. A key without a meaning, and a
meaning without a key, is an error.
"""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from zoning_assets.cli.reference.markdown_table import GENERATED, table
from zoning_assets.model import TRIPWIRES, ZONE_TYPES, CodeRules, Feed, Jurisdiction, Minutes, Portal
from zoning_assets.sources import FEED_TYPES

#: Values that are not read from the file, or have a section of their own.
_APART = {
    "Jurisdiction": {"feeds", "portal", "codes", "minutes", "tripwires", "file"},
    "Feed": {"name", "fields", "join", "overlays", "separator"},
    "CodeRules": {"layers"},
}

JURISDICTION: Mapping[str, str] = {
    "id": "Lower-case letters, digits and hyphens; equal to the file's name without `.toml`.",
    "name": "The name for people.",
    "bounds": "`[west, south, east, north]` in degrees, EPSG:4326. Rows outside are rejected.",
    "target_crs": "The CRS of the published shapes: `EPSG:4326` or `EPSG:3857`.",
    "tile_resolution": 'The H3 resolution of the tiles, 0 to 10, or `"auto"`: dense tiles are split.',
    "fresh_hours": "The published rows must be confirmed as current within this many hours, 1 to 8760."
    " Default: twice the time between two probes.",
    "licence": "The licence of the portal's data, such as `PDDL-1.0`. Exports state it.",
}

FEED: Mapping[str, str] = {
    "type": f"The protocol of the portal: {', '.join(f'`{name}`' for name in sorted(FEED_TYPES))}.",
    "url": "`http(s)://`, `ftp://`, or a path relative to this file. `${NAME}` is replaced by an environment variable.",
    "crs": "The CRS of the source. Only if the portal does not state it or states a wrong one. Example: `EPSG:2249`.",
    "key": "The column with the natural key. Required for parcels. Never OBJECTID: portals renumber it.",
    "on_null_key": "What happens to a row without a key: `reject`.",
    "on_repeated_key": "What happens to different rows with one key: `reject` all, `dissolve` them into one parcel, or"
    " `suffix` them (`KEY#1`, `KEY#2` from west to east). Identical rows always count as one.",
    "hidden_rows": "`refuse` or `accept`: what happens if the server may hide rows without a shape.",
    "full_refresh_days": "After this many days every row is fetched again, whatever the probes report. 1 to 3650.",
    "probe_hours": "Time between two probes of the portal, in hours. 1 to 720.",
    "probe": 'The time of the probe instead, as cron: `"0 3 * * * America/New_York"`.',
    "page_size": "Rows per page, 1 to 100000. Default: what the portal offers.",
    "layer": "Which layer, if a file or a service holds several.",
    "where": "Only the rows that meet this clause: `CITY = 'Mytown'`. ArcGIS SQL, Socrata `$where`, CQL2 text, CQL or a"
    " filter in XML for `wfs`, ODSQL, OGR SQL for files. See [Use a part of a layer](../how-to/part-of-a-layer.md).",
    "strategy": "How an `arcgis` layer is read: `auto`, `offset`, `ranges`, `ids`, `area`.",
    "format": "The format of `arcgis` pages: `auto`, `json`, `geojson`, `pbf`.",
    "may_shrink": "The share of rows (of a map: of its area) that a release may lose without a decision by a person.",
    "geometry": "The column that holds the shapes of a table.",
    "axes": "`lon-lat` or `lat-lon`: the axis order of a file or a table. Not for `arcgis`, `ogc-features` and `wfs`.",
    "shift_accuracy_m": "The largest accepted error of a datum shift, in metres.",
}

JOIN: Mapping[str, str] = {
    "key": "The column of the table that has the values of `key` of the parcels.",
    "on_repeated_key": "Rows with one key and different values: `reject` the table, or take the `first` one in the"
    " order of the values. Rows with the same values count as one.",
    "columns": '`ours = "theirs"`: the columns to take. `address`, `land_use` and `zoning_code` become our columns,'
    " every other name is an attribute.",
    "may_shrink": "The share of the parcels that may lose their row of the table without a decision by a person.",
}

OVERLAY: Mapping[str, str] = {
    "key": "The column that identifies a row; needed if `feeds.zoning` has a key, and only then.",
    "separator": 'The text between several overlays in one code: `" / "`. Each of them is an overlay of its own.',
    "fields": "`code`, `zone_type`, `effective`, as in `feeds.zoning.fields`. Without `code` the layer is one overlay.",
}

PORTAL: Mapping[str, str] = {
    "requests_per_minute": "Maximum number of requests per minute to this host, for all processes and machines.",
    "connections": "Maximum number of requests at the same time.",
    "maintenance": 'Weekly windows in which the portal is down: `["Sun 02:00-06:00 America/New_York"]`.',
    "quiet_hours": "Windows in which you do not want to send requests. Without a day: every day.",
}

MINUTES: Mapping[str, str] = {
    "type": "The kind of site: `legistar`.",
    "url": "The address of its Web API, `https://webapi.legistar.com/v1/CLIENT`; a token is part of its query.",
    "first_days": "The first poll asks for what was edited in so many days.",
}

CODES: Mapping[str, str] = {
    "version": "Required in this table. Which ordinance or list the rules describe.",
    "listed": "The ordinance's own list of codes; its spelling is canonical. Default: the codes that have a type.",
    "conditions": 'Endings that add a condition to a base code: `"(CD)"`.',
    "overlays": 'Parts after `/` or `-` that are overlays: `"HP"` in `R-1/HP`.',
    "pud": 'Codes followed by a number, each a planned unit development: `"PD"` in `PD-1234`.',
    "same": 'Renamings: `"Residence 1" = "R-1"`.',
    "types": "The National Zoning Atlas type of a code, as a type with a list of codes. The types: "
    + ", ".join(f"`{name}`" for name in ZONE_TYPES)
    + ".",
}

_FIELDS = (
    ("`feeds.parcels.fields`", "`address`, `land_use`, `zoning_code`"),
    ("`feeds.zoning.fields`", "`code`, `zone_type`, `effective`"),
)

_HEAD = f"""# Jurisdiction file

{GENERATED}

One TOML file describes one jurisdiction. An unknown key is an error that names the valid keys.
[Add a county](../how-to/add-a-county.md) has an example.
"""

_MAPPING = """
## [feeds.parcels.fields], [feeds.zoning.fields]

`ours = "theirs"`: which column of the portal holds our value. All other columns stay in `attributes`.

"""

_JOIN = """## [feeds.parcels.join]

A second table whose columns are added to the parcels by key; see [Join a table](../how-to/join-a-table.md). The keys
`type`, `url`, `layer`, `where`, `page_size` and `full_refresh_days` are those of a feed.

"""

_OVERLAY = """## [feeds.overlays.NAME]

An overlay layer of the zoning map; see [Add overlay layers](../how-to/overlays.md). The keys `type`, `url`, `crs`,
`layer`, `where`, `geometry`, `axes`, `shift_accuracy_m`, `hidden_rows`, `page_size`, `strategy` and `format` are those
of a feed.

"""

_TRIPWIRES = """
## [tripwires]

A limit by name; it replaces the limit that follows from earlier releases. [Tripwires](tripwires.md) explains them.
Names:
"""


def markdown() -> str:
    """One section a table of the file, one row a key."""
    parts = [_HEAD, "## Top level", "", _rows(Jurisdiction, JURISDICTION)]
    parts += [
        "",
        "## [feeds.parcels], [feeds.zoning]",
        "",
        _rows(Feed, FEED),
        _MAPPING + table(("table", "keys"), _FIELDS),
    ]
    parts += ["", _JOIN + table(("key", "meaning"), ((f"`{key}`", text) for key, text in JOIN.items()))]
    parts += ["", _OVERLAY + table(("key", "meaning"), ((f"`{key}`", text) for key, text in OVERLAY.items()))]
    parts += ["", "## [portal]", "", _rows(Portal, PORTAL), "", "## [codes]", ""]
    parts += ["Without this table codes keep their first spelling and have no type.", "", _rows(CodeRules, CODES)]
    parts += ["", "## [minutes]", "", "For `zoning minutes`. Without this table nothing is polled.", ""]
    parts += [_rows(Minutes, MINUTES)]
    names = ", ".join(f"`{name}`" for name in TRIPWIRES if name != "count_drop")
    return "\n".join([*parts, f"{_TRIPWIRES}{names}.", ""])


def _rows(model: Any, meanings: Mapping[str, str]) -> str:
    keys: Iterable[Field[Any]] = [each for each in fields(model) if each.name not in _APART.get(model.__name__, ())]
    if (known := {each.name for each in keys}) != set(meanings):
        raise ValueError(f"{model.__name__}: keys and meanings differ: {sorted(known ^ set(meanings))}")
    found = {each.name: _default(each) for each in keys}
    return table(("key", "meaning", "default"), ((f"`{key}`", meanings[key], found[key]) for key in meanings))


def _default(key: Field[Any]) -> str:
    if key.default is MISSING:
        return "" if key.default_factory is not MISSING else "required"
    return "" if key.default in (None, "", ()) else f"`{key.default}`"
