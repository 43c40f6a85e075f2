"""Validate one jurisdiction file: its keys, their types and their values."""

import difflib
import math
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from zoning_assets.errors import JurisdictionInvalid
from zoning_assets.model import (
    LAT_LON,
    LON_LAT,
    OWN_AXES,
    PARCELS,
    TRIPWIRES,
    ZONE_TYPES,
    ZONING,
    CodeRules,
    Feed,
    Jurisdiction,
    Portal,
)
from zoning_assets.schedules import cron
from zoning_assets.schedules.time_windows import parse

_TARGETS = ("EPSG:4326", "EPSG:3857")

#: Feed -> the keys that its table `fields` may have.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    PARCELS: ("address", "land_use", "zoning_code"),
    ZONING: ("code", "zone_type", "effective"),
}
_REPEATS = ("reject", "dissolve", "suffix")
_STRATEGIES = ("auto", "offset", "ranges", "ids", "area")
_FORMATS = ("auto", "json", "geojson", "pbf")
_VARIABLE = re.compile(r"\$\{(\w{1,64})\}")
ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Reader:
    """Validates one document. It knows the path, so that each message contains it."""

    def __init__(self, path: Path, feed_types: Collection[str]) -> None:
        self.path, self.feed_types = path, feed_types

    def jurisdiction(self, document: dict[str, Any]) -> Jurisdiction:
        """Validate a document, and return the jurisdiction that it describes.

        Raises:
            JurisdictionInvalid: it is invalid; the message contains the file, the key and the valid values.
        """
        allowed = (
            "id",
            "name",
            "bounds",
            "target_crs",
            "tile_resolution",
            "feeds",
            "portal",
            "codes",
            "tripwires",
            "fresh_hours",
        )
        self._keys(document, "", allowed)
        found = self._text(document, "", "id")
        if not ID.fullmatch(found) or found != self.path.stem:
            self._wrong("id", f"{found!r} must be the file's name, of lower-case letters, digits and hyphens")
        feeds = self._table(document, "", "feeds")
        self._keys(feeds, "feeds", (PARCELS, ZONING))
        return Jurisdiction(
            id=found,
            name=self._text(document, "", "name"),
            bounds=self._bounds(document),
            target_crs=self._choice(document, "", "target_crs", _TARGETS, _TARGETS[0]),
            tile_resolution=self._resolution(document),
            feeds={name: self._feed(name, self._table(feeds, "feeds", name)) for name in feeds},
            portal=self._portal(document.get("portal", {})),
            codes=self._codes(document["codes"]) if "codes" in document else CodeRules(),
            fresh_hours=self._whole(document, "", "fresh_hours", 1, 24 * 365, None),
            tripwires=self._tripwires(document.get("tripwires", {})),
            file=str(self.path),
        )

    def _tripwires(self, table: Any) -> dict[str, float]:
        """Limits by tripwire. The limit of a shrinking layer is a key of its feed instead (`may_shrink`)."""
        self._keys(table, "tripwires", tuple(name for name in TRIPWIRES if name != "count_drop"))
        for name, limit in table.items():
            if type(limit) not in (int, float) or not 0 <= limit < math.inf:
                self._wrong(f"tripwires.{name}", "must be a number that is not negative")
        return {name: float(limit) for name, limit in table.items()}

    def _feed(self, name: str, table: dict[str, Any]) -> Feed:
        at = f"feeds.{name}"
        allowed = ("type", "url", "crs", "key", "on_null_key", "on_repeated_key", "full_refresh_days")
        more = (
            "probe_hours",
            "probe",
            "hidden_rows",
            "page_size",
            "layer",
            "geometry",
            "axes",
            "shift_accuracy_m",
            "strategy",
            "format",
            "may_shrink",
            "fields",
        )
        self._keys(table, at, (*allowed, *more))
        fields = table.get("fields", {})
        self._keys(fields, f"{at}.fields", _FIELDS[name])
        return Feed(
            name=name,
            type=self._choice(table, at, "type", tuple(sorted(self.feed_types))),
            url=self._url(table, at),
            crs=self._crs(table, at),
            key=self._text(table, at, "key") if name == PARCELS or "key" in table else None,
            on_null_key=self._choice(table, at, "on_null_key", ("reject",), "reject"),
            on_repeated_key=self._choice(table, at, "on_repeated_key", _REPEATS, "reject"),
            hidden_rows=self._choice(table, at, "hidden_rows", ("refuse", "accept"), "refuse"),
            full_refresh_days=self._whole(table, at, "full_refresh_days", 1, 3650, 30),
            probe_hours=self._whole(table, at, "probe_hours", 1, 24 * 30, 24),
            probe=self._cron(table, at),
            page_size=self._whole(table, at, "page_size", 1, 100_000, None),
            layer=self._text(table, at, "layer") if "layer" in table else None,
            geometry=self._text(table, at, "geometry") if "geometry" in table else None,
            axes=self._axes(table, at),
            shift_accuracy_m=self._metres(table, at, "shift_accuracy_m", 1.0),
            strategy=self._choice(table, at, "strategy", _STRATEGIES, "auto"),
            format=self._choice(table, at, "format", _FORMATS, "auto"),
            may_shrink=self._share(table, at, "may_shrink", 0.1),
            fields={ours: self._text(fields, f"{at}.fields", ours) for ours in fields},
        )

    def _axes(self, table: dict[str, Any], at: str) -> str:
        """The axis order. It is not allowed for feed types that find the order themselves."""
        if "axes" in table and table.get("type") in OWN_AXES:
            self._wrong(f"{at}.axes", f"{table['type']} finds the order by itself; leave it out")
        return self._choice(table, at, "axes", (LON_LAT, LAT_LON), LON_LAT)

    def _metres(self, table: dict[str, Any], at: str, key: str, default: float) -> float:
        value = table.get(key, default)
        if type(value) not in (int, float) or not 0 < value <= 1000:
            self._wrong(f"{at}.{key}", "must be a number of metres, more than 0 and at most 1000")
        return float(value)

    def _cron(self, table: dict[str, Any], at: str) -> str | None:
        if "probe" not in table:
            return None
        text = self._text(table, at, "probe")
        if "probe_hours" in table:
            self._wrong(f"{at}.probe", "give either `probe` or `probe_hours`")
        try:
            cron.parse(text)
        except ValueError as error:
            self._wrong(f"{at}.probe", str(error))
        return text

    def _portal(self, table: Any) -> Portal:
        if not isinstance(table, dict):
            self._wrong("portal", "must be a table")
        self._keys(table, "portal", ("requests_per_minute", "connections", "maintenance", "quiet_hours"))
        default = Portal()
        return Portal(
            requests_per_minute=self._whole(
                table, "portal", "requests_per_minute", 1, 600_000, int(default.requests_per_minute)
            ),
            connections=self._whole(table, "portal", "connections", 1, 64, default.connections),
            maintenance=self._windows(table, "maintenance"),
            quiet_hours=self._windows(table, "quiet_hours"),
        )

    def _windows(self, table: dict[str, Any], key: str) -> tuple[str, ...]:
        windows = table.get(key, [])
        if not isinstance(windows, list):
            self._wrong(f"portal.{key}", 'must be a list of texts like "Sun 02:00-06:00 America/New_York"')
        for window in windows:
            try:
                parse(window if isinstance(window, str) else repr(window))
            except ValueError as error:
                self._wrong(f"portal.{key}", str(error))
        return tuple(windows)

    def _codes(self, table: Any) -> CodeRules:
        lists, tables = ("listed", "conditions", "overlays", "pud"), ("same", "types")
        self._keys(table, "codes", ("version", *lists, *tables))
        version = self._text(table, "codes", "version")
        same, types = (self._table(table, "codes", key) if key in table else {} for key in tables)
        found = {key: self._texts(table, "codes", key) for key in lists if key in table}
        types = self._types(types)
        # If `listed` is missing, the codes with a type are the list.
        return CodeRules(version, **{"listed": tuple(types), **found}, same=self._same(same), types=types)

    def _same(self, same: dict[str, Any]) -> dict[str, str]:
        for theirs in same:
            if (ours := self._text(same, "codes.same", theirs)) in same and ours != theirs:
                self._wrong(f"codes.same.{theirs}", f"{ours!r} is itself renamed; name the last code of the chain")
        return same

    def _types(self, table: dict[str, Any]) -> dict[str, str]:
        """Zone types by code. A key is a code ("R-1" = "Primarily Residential") or a type with a list of codes."""
        found: dict[str, str] = {}
        for key, value in table.items():
            codes = self._texts(table, "codes.types", key) if isinstance(value, list) else (key,)
            kind = self._choice({key: key if isinstance(value, list) else value}, "codes.types", key, ZONE_TYPES)
            for code in codes:
                if found.setdefault(code, kind) != kind:
                    self._wrong(
                        f"codes.types.{key}", f"{code!r} already has the type {found[code]!r}; a code has one type"
                    )
        return found

    def _texts(self, table: dict[str, Any], at: str, key: str) -> tuple[str, ...]:
        texts = table[key]
        if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
            self._wrong(f"{at}.{key}", "must be a list of texts that are not empty")
        return tuple(texts)

    def _bounds(self, document: dict[str, Any]) -> tuple[float, float, float, float]:
        self._present(document, "", "bounds")
        box: Any = document["bounds"]
        numbers = isinstance(box, list) and len(box) == 4 and all(type(each) in (int, float) for each in box)
        if not numbers or not (-180 <= box[0] < box[2] <= 180 and -90 <= box[1] < box[3] <= 90):
            self._wrong("bounds", "must be [west, south, east, north] in degrees, west below east, south below north")
        west, south, east, north = map(float, box or ())
        return west, south, east, north

    def _resolution(self, document: dict[str, Any]) -> int | None:
        if document.get("tile_resolution", "auto") == "auto":
            return None
        resolution: int = self._whole(document, "", "tile_resolution", 0, 10, None, also='"auto" or ')
        return resolution

    def _crs(self, table: dict[str, Any], at: str) -> str | None:
        if "crs" not in table:
            return None
        import pyproj  # noqa: PLC0415 - few files state a CRS, and every command reads files

        text = self._text(table, at, "crs")
        try:
            pyproj.CRS(text)
        except pyproj.exceptions.CRSError:
            self._wrong(f"{at}.crs", f'{text!r} is not a CRS; give it like "EPSG:2249"')
        return text

    def _keys(self, table: Any, at: str, allowed: tuple[str, ...]) -> None:
        if not isinstance(table, dict):
            self._wrong(at, "must be a table")
        for key in table:
            if key not in allowed:
                valid = f"valid are: {', '.join(allowed)}"
                self._wrong(f"{at}.{key}".lstrip("."), f"unknown key; {valid}{_nearest(key, allowed)}")

    def _table(self, table: dict[str, Any], at: str, key: str) -> dict[str, Any]:
        self._present(table, at, key)
        value = table[key]
        if not isinstance(value, dict) or not value:
            self._wrong(f"{at}.{key}".lstrip("."), "must be a table that is not empty")
        return dict(value)

    def _present(self, table: dict[str, Any], at: str, key: str) -> None:
        if key not in table:
            self._fail(f"{at}.{key} is missing".lstrip("."))

    def _text(self, table: dict[str, Any], at: str, key: str) -> str:
        self._present(table, at, key)
        value = table[key]
        if not isinstance(value, str) or not value.strip():
            self._wrong(f"{at}.{key}".lstrip("."), "must be text that is not empty")
        return str(value)

    def _url(self, table: dict[str, Any], at: str) -> str:
        """The address, with `${NAME}` replaced by that environment variable: the file need not contain a token."""
        text = self._text(table, at, "url")
        for name in _VARIABLE.findall(text):
            if not os.environ.get(name):
                self._wrong(f"{at}.url", f"the environment has no variable {name}")
        return _VARIABLE.sub(lambda found: os.environ[found[1]], text)

    def _choice(
        self, table: dict[str, Any], at: str, key: str, choices: tuple[str, ...], default: str | None = None
    ) -> str:
        name = f"{at}.{key}".lstrip(".")
        if default is None and key not in table:
            self._fail(f"{name} is missing; choose one of: {', '.join(choices)}")
        value = table.get(key, default)
        if value not in choices:
            self._wrong(name, f"{value!r} is not one of: {', '.join(choices)}{_nearest(value, choices)}")
        return str(value)

    def _whole(  # noqa: PLR0913 - the key, its limits and its default
        self, table: dict[str, Any], at: str, key: str, least: int, most: int, default: Any, also: str = ""
    ) -> Any:
        value = table.get(key, default)
        if value is not default and (type(value) is not int or not least <= value <= most):
            self._wrong(f"{at}.{key}".lstrip("."), f"must be {also}a whole number from {least} to {most}")
        return value

    def _share(self, table: dict[str, Any], at: str, key: str, default: float) -> float:
        value = table.get(key, default)
        if type(value) not in (int, float) or not 0 <= value <= 1:
            self._wrong(f"{at}.{key}", "must be a number from 0 to 1")
        return float(value)

    def _wrong(self, key: str, what: str) -> None:
        self._fail(f"{key}: {what}")

    def _fail(self, what: str) -> None:
        raise JurisdictionInvalid(what, where=str(self.path), do="fix the file")


def _nearest(given: object, choices: Collection[str]) -> str:
    """A hint with the most similar choice; empty: none is similar."""
    near = difflib.get_close_matches(str(given), choices, 1)
    return f" (did you mean {near[0]!r}?)" if near else ""
