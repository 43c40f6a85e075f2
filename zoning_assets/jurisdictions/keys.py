"""Every key of a jurisdiction file, with its rule and its description.

The reader (jurisdiction_file.py) and the JSON Schema (json_schema.py) use these tables. Defaults are in the model.
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from zoning_assets.jurisdictions.rules import (
    BoundsRule,
    ChoiceRule,
    IntegerRule,
    NumberRule,
    ResolutionRule,
    Rule,
    TableRule,
    TextListRule,
    TextRule,
    TimeWindowsRule,
)
from zoning_assets.model import LAT_LON, LON_LAT, PARCELS, TRIPWIRES, ZONE_TYPES, ZONING
from zoning_assets.schedules import cron

ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST_CLAUSE = 1000  # longer requests are sent by POST, which OGC API Features has not


@dataclass(frozen=True)
class Key:
    """A key of a table. `description`: shown by editors and in the reference."""

    rule: Rule
    description: str
    required: bool = False


def _crs(text: str) -> None:
    import pyproj  # noqa: PLC0415 - few files state a CRS, and every command reads files

    try:
        pyproj.CRS(text)
    except pyproj.exceptions.CRSError:
        raise ValueError(f'{text!r} is not a CRS; give it like "EPSG:2249"') from None


def _clause(text: str) -> None:
    """Check what every language of clauses has in common, because the clause is combined with others: one line, paired
    quotes and parentheses."""
    if len(text) > _LONGEST_CLAUSE or not text.isprintable():
        message = f"must be one line of at most {_LONGEST_CLAUSE:,} characters"
        raise ValueError(message)
    depth = 0
    for part in re.findall(r"'[^']*'|\"[^\"]*\"|['\"();]|--", "" if text.lstrip().startswith("<") else text):
        depth += {"(": 1, ")": -1}.get(part, 0)
        if part in ("'", '"', ";", "--") or depth < 0:
            message = f"unexpected {part} in {text!r}"
            raise ValueError(message)
    if depth:
        message = f"a parenthesis is not closed in {text!r}"
        raise ValueError(message)


TOP: Mapping[str, Key] = {
    "id": Key(TextRule(), "The file name without .toml: lower-case letters, digits and hyphens.", required=True),
    "name": Key(TextRule(), "The name of the city or county, for display.", required=True),
    "bounds": Key(BoundsRule(), "West, south, east, north; degrees, longitude first.", required=True),
    "target_crs": Key(ChoiceRule(("EPSG:4326", "EPSG:3857")), "The CRS of the shapes in the database."),
    "tile_resolution": Key(ResolutionRule(), 'The H3 resolution of the tiles, or "auto".'),
    "feeds": Key(TableRule(not_empty=True), "The layers of the portal.", required=True),
    "portal": Key(TableRule(), "Limits of the requests to the portal."),
    "codes": Key(TableRule(), "How zoning codes are spelled and what they mean."),
    "minutes": Key(TableRule(not_empty=True), "Where matters and minutes are published; for `zoning minutes`."),
    "tripwires": Key(TableRule(), "Limits of the release checks, by name."),
    "fresh_hours": Key(IntegerRule(1, 24 * 365), "The largest age of the published data, in hours."),
    "licence": Key(TextRule(), 'The licence of the portal\'s data, such as "PDDL-1.0"; exports state it.'),
}

FEEDS: Mapping[str, Key] = {
    PARCELS: Key(TableRule(not_empty=True), "The layer of the parcels."),
    ZONING: Key(TableRule(not_empty=True), "The layer of the zoning districts."),
}
OVERLAYS = "overlays"
#: `[feeds.overlays]`: tables by name.
OVERLAY_TABLES = {OVERLAYS: Key(TableRule(not_empty=True), "Overlay layers of the zoning map, by name.")}
OVERLAY = TableRule(not_empty=True)

_FIELDS: Mapping[str, Mapping[str, str]] = {
    PARCELS: {
        "address": "The column with the address of the parcel.",
        "land_use": "The column with the use of the land.",
        "zoning_code": "The column with the zoning code, if the parcel layer has one.",
    },
    ZONING: {
        "code": "The column with the zoning code.",
        "zone_type": "The column with the kind of zone.",
        "effective": "The column with the date from which the zoning applies.",
    },
}

PORTAL: Mapping[str, Key] = {
    "requests_per_minute": Key(IntegerRule(1, 600_000), "Maximum number of requests per minute."),
    "connections": Key(IntegerRule(1, 64), "Maximum number of requests at the same time."),
    "maintenance": Key(TimeWindowsRule(), 'When the portal is under maintenance: "Sun 02:00-06:00 America/New_York".'),
    "quiet_hours": Key(TimeWindowsRule(), "When no requests are sent, in the same form; without a day: every day."),
}

MINUTES: Mapping[str, Key] = {
    "type": Key(ChoiceRule(("legistar",)), "The kind of site.", required=True),
    "url": Key(
        TextRule(),
        'The address of its Web API, like "https://webapi.legistar.com/v1/CLIENT"; ${NAME} is replaced from the'
        " environment.",
        required=True,
    ),
    "first_days": Key(IntegerRule(1, 36_500), "The first poll asks for what was edited in so many days."),
}

CODES: Mapping[str, Key] = {
    "version": Key(TextRule(), "The version of the ordinance, as the file states it.", required=True),
    "listed": Key(TextListRule(), "The codes as the ordinance spells them."),
    "conditions": Key(TextListRule(), 'Suffixes that add a condition to a code, such as "(PD)".'),
    "overlays": Key(TextListRule(), "Parts of a code that name an overlay."),
    "pud": Key(TextListRule(), "Codes that are followed by the number of a plan (planned unit developments)."),
    "same": Key(TableRule(not_empty=True), "Codes of the portal that differ from the ordinance: portal code = code."),
    "types": Key(
        TableRule(not_empty=True),
        "The type of a code, in the classes of the National Zoning Atlas: code = type, or type = list of codes.",
    ),
}
#: The values in `codes.same` (a code) and `codes.types` (a type, or a list of codes).
CODE, CODE_LIST, ZONE_TYPE = TextRule(), TextListRule(), ChoiceRule(ZONE_TYPES)

_LIMIT = NumberRule(0, math.inf, "must be a number that is not negative")
#: Without count_drop: its limit is the key `may_shrink` of the feed.
LIMITS: Mapping[str, Key] = {
    name: Key(_LIMIT, f"The limit of the release check {name}.") for name in TRIPWIRES if name != "count_drop"
}


_JOIN = {"join": Key(TableRule(not_empty=True), "A table whose columns are added to the rows by key.")}


def feed_keys(feed: str, feed_types: Collection[str]) -> Mapping[str, Key]:
    """Return the keys of `[feeds.parcels]` or `[feeds.zoning]`."""
    return {
        "type": Key(ChoiceRule(tuple(sorted(feed_types))), "The feed type: the protocol of the portal.", required=True),
        "url": Key(
            TextRule(),
            "The address of the layer, or a path relative to this file; ${NAME} is replaced from the environment.",
            required=True,
        ),
        "crs": Key(TextRule(_crs), "The CRS of the layer; only needed if the portal states none or a wrong one."),
        "key": Key(TextRule(), "The column that identifies a row.", required=feed == PARCELS),
        "on_null_key": Key(ChoiceRule(("reject",)), "How rows without a key are handled."),
        "on_repeated_key": Key(
            ChoiceRule(("reject", "dissolve", "suffix")), "How several rows with the same key are handled."
        ),
        "full_refresh_days": Key(IntegerRule(1, 3650), "Days from one complete fetch of all rows to the next."),
        "probe_hours": Key(IntegerRule(1, 24 * 30), "Hours from one check for changes to the next."),
        "probe": Key(
            TextRule(cron.parse), 'When to check for changes, instead of probe_hours: "0 3 * * * America/New_York".'
        ),
        "hidden_rows": Key(
            ChoiceRule(("refuse", "accept")), "Whether rows that the portal counts but never returns are accepted."
        ),
        "page_size": Key(IntegerRule(1, 100_000), "Rows per request, if not the number that the portal states."),
        "layer": Key(TextRule(), "The name of the layer, if a file or a service has several."),
        "where": Key(
            TextRule(_clause),
            "Only the rows that meet this clause; ArcGIS SQL, Socrata `$where`, CQL2, ODSQL or OGR SQL.",
        ),
        "geometry": Key(TextRule(), "The column with the shapes of a table."),
        "axes": Key(ChoiceRule((LON_LAT, LAT_LON)), "The axis order of a file or a table."),
        "shift_accuracy_m": Key(
            NumberRule(0, 1000, "must be a number of metres, more than 0 and at most 1000", above=True),
            "The largest accepted error of a datum transformation; metres.",
        ),
        "strategy": Key(
            ChoiceRule(("auto", "offset", "ranges", "ids", "area")), "How the pages of an ArcGIS layer are requested."
        ),
        "format": Key(
            ChoiceRule(("auto", "json", "geojson", "pbf")),
            "The format in which the rows of an ArcGIS layer are requested.",
        ),
        "may_shrink": Key(
            NumberRule(0, 1, "must be a number from 0 to 1"),
            "The fraction of the rows that may be missing in the next release.",
        ),
        "fields": Key(TableRule(), "Name of our column = name of the column of the layer."),
        **(_JOIN if feed == PARCELS else {}),
    }


def join_keys(feed_types: Collection[str]) -> Mapping[str, Key]:
    """Return the keys of `[feeds.parcels.join]`: some of a feed, and the columns to take."""
    of_feed = feed_keys(PARCELS, feed_types)
    same = ("type", "url", "layer", "where", "page_size", "full_refresh_days", "may_shrink")
    return {
        **{name: of_feed[name] for name in same},
        "key": Key(TextRule(), "The column of the table with the keys of the parcels.", required=True),
        "on_repeated_key": Key(
            ChoiceRule(("reject", "first")), "How rows of the table with the same key and other values are handled."
        ),
        "columns": Key(
            TableRule(not_empty=True), "Name of our column, or of an attribute = name of the column.", required=True
        ),
    }


def overlay_keys(feed_types: Collection[str]) -> Mapping[str, Key]:
    """Return the keys of `[feeds.overlays.NAME]`: some of a feed, and the separator."""
    of_feed = feed_keys(ZONING, feed_types)
    same = ("type", "url", "crs", "layer", "where", "geometry", "axes", "shift_accuracy_m", "hidden_rows", "page_size")
    return {
        **{name: of_feed[name] for name in (*same, "strategy", "format", "key", "fields")},
        "separator": Key(TextRule(), 'The text between several overlays in one code, such as " / ".'),
    }


#: A value of `[feeds.parcels.join.columns]`.
JOIN_COLUMN = TextRule()


def field_keys(feed: str) -> Mapping[str, Key]:
    """Return the keys of a feed's table `fields`: our column = column of the layer."""
    return {name: Key(TextRule(), about) for name, about in _FIELDS[feed].items()}
