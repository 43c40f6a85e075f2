"""Every key of a jurisdiction file, with its rule and its meaning. Both the reader (jurisdiction_file.py) and the JSON
Schema (json_schema.py) are made from these tables. Default values are those of the model.
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from zoning_assets.jurisdictions.rules import Box, Choice, Number, Resolution, Rule, Table, Text, Texts, Whole, Windows
from zoning_assets.model import LAT_LON, LON_LAT, PARCELS, TRIPWIRES, ZONE_TYPES, ZONING
from zoning_assets.schedules import cron

ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Key:
    """A key of a table. `about`: what it means; the editor shows it."""

    rule: Rule
    about: str
    required: bool = False


def _crs(text: str) -> None:
    import pyproj  # noqa: PLC0415 - few files state a CRS, and every command reads files

    try:
        pyproj.CRS(text)
    except pyproj.exceptions.CRSError:
        raise ValueError(f'{text!r} is not a CRS; give it like "EPSG:2249"') from None


TOP: Mapping[str, Key] = {
    "id": Key(Text(), "The name of this file without .toml: lower-case letters, digits and hyphens.", required=True),
    "name": Key(Text(), "The name of the city or county, as people write it.", required=True),
    "bounds": Key(Box(), "West, south, east, north; degrees, longitude first.", required=True),
    "target_crs": Key(Choice(("EPSG:4326", "EPSG:3857")), "The CRS of the shapes in the database."),
    "tile_resolution": Key(Resolution(), 'The H3 resolution of the tiles, or "auto".'),
    "feeds": Key(Table(filled=True), "The layers of the portal.", required=True),
    "portal": Key(Table(), "How the portal is accessed."),
    "codes": Key(Table(), "How zoning codes are spelled and what they mean."),
    "tripwires": Key(Table(), "Limits of the release checks, by name."),
    "fresh_hours": Key(Whole(1, 24 * 365), "What is published must not be older than this many hours."),
}

FEEDS: Mapping[str, Key] = {
    PARCELS: Key(Table(filled=True), "The layer of the parcels."),
    ZONING: Key(Table(filled=True), "The layer of the zoning districts."),
}

_FIELDS: Mapping[str, Mapping[str, str]] = {
    PARCELS: {
        "address": "The column with the address of the parcel.",
        "land_use": "The column with the use of the land.",
        "zoning_code": "The column with the zoning code, where the parcel layer has one.",
    },
    ZONING: {
        "code": "The column with the zoning code.",
        "zone_type": "The column with the kind of zone.",
        "effective": "The column with the date from which the zoning applies.",
    },
}

PORTAL: Mapping[str, Key] = {
    "requests_per_minute": Key(Whole(1, 600_000), "At most so many requests a minute."),
    "connections": Key(Whole(1, 64), "At most so many requests at the same time."),
    "maintenance": Key(Windows(), 'When the portal is under maintenance: "Sun 02:00-06:00 America/New_York".'),
    "quiet_hours": Key(Windows(), "When we send no requests to it, in the same form; without a day: every day."),
}

CODES: Mapping[str, Key] = {
    "version": Key(Text(), "The version of the ordinance, as the file states it.", required=True),
    "listed": Key(Texts(), "The codes as the ordinance spells them."),
    "conditions": Key(Texts(), 'Endings that add a condition to a code, such as "(PD)".'),
    "overlays": Key(Texts(), "Parts of a code that name an overlay."),
    "pud": Key(Texts(), "Codes that are followed by the number of a plan."),
    "same": Key(Table(filled=True), "Codes of the portal that have another name in the ordinance: theirs = ours."),
    "types": Key(
        Table(filled=True),
        "What a code allows, as the National Zoning Atlas sorts it: a code = its type, or a type = its codes.",
    ),
}
#: What the free keys of `codes.same` and `codes.types` hold: a code; a type, or a list of codes.
CODE, CODE_LIST, ZONE_TYPE = Text(), Texts(), Choice(ZONE_TYPES)

_LIMIT = Number(0, math.inf, "must be a number that is not negative")
#: How much a layer may shrink is a key of the feed (`may_shrink`).
LIMITS: Mapping[str, Key] = {
    name: Key(_LIMIT, f"The limit of the release check {name}.") for name in TRIPWIRES if name != "count_drop"
}


def feed_keys(feed: str, feed_types: Collection[str]) -> Mapping[str, Key]:
    """The keys of `[feeds.parcels]` or `[feeds.zoning]`."""
    return {
        "type": Key(Choice(tuple(sorted(feed_types))), "The protocol of the portal.", required=True),
        "url": Key(
            Text(), "The address of the layer, or a path beside this file; ${NAME} is a variable.", required=True
        ),
        "crs": Key(Text(_crs), "The CRS of the layer, only where the portal does not state it or states a wrong one."),
        "key": Key(Text(), "The column that identifies a row.", required=feed == PARCELS),
        "on_null_key": Key(Choice(("reject",)), "What becomes of rows without a key."),
        "on_repeated_key": Key(
            Choice(("reject", "dissolve", "suffix")), "What becomes of several rows with the same key."
        ),
        "full_refresh_days": Key(Whole(1, 3650), "Every row is fetched again after so many days."),
        "probe_hours": Key(Whole(1, 24 * 30), "Hours from one look for changes to the next."),
        "probe": Key(
            Text(cron.parse), 'When to look for changes, instead of probe_hours: "0 3 * * * America/New_York".'
        ),
        "hidden_rows": Key(Choice(("refuse", "accept")), "Whether the portal may have rows that it does not deliver."),
        "page_size": Key(Whole(1, 100_000), "Rows of a request, where the portal's own number is not wanted."),
        "layer": Key(Text(), "Which layer, where a file or a service holds several."),
        "geometry": Key(Text(), "The column that holds the shapes of a table."),
        "axes": Key(Choice((LON_LAT, LAT_LON)), "Which number of a position comes first, for a file or a table."),
        "shift_accuracy_m": Key(
            Number(0, 1000, "must be a number of metres, more than 0 and at most 1000", above=True),
            "The largest error of a datum shift; metres.",
        ),
        "strategy": Key(
            Choice(("auto", "offset", "ranges", "ids", "area")), "How the pages of an ArcGIS layer are requested."
        ),
        "format": Key(
            Choice(("auto", "json", "geojson", "pbf")), "The form in which the rows of an ArcGIS layer are requested."
        ),
        "may_shrink": Key(
            Number(0, 1, "must be a number from 0 to 1"), "The share of the rows that may vanish between two releases."
        ),
        "fields": Key(Table(), "Our names = the columns of the layer."),
    }


def field_keys(feed: str) -> Mapping[str, Key]:
    """The keys of a feed's table `fields`: ours = theirs."""
    return {name: Key(Text(), about) for name, about in _FIELDS[feed].items()}
