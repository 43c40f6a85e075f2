"""Validate one jurisdiction file: each key by its rule (keys.py), then the rules about several keys."""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from zoning_assets.errors import JurisdictionInvalid
from zoning_assets.jurisdictions import keys
from zoning_assets.jurisdictions.keys import Key
from zoning_assets.jurisdictions.rules import ChoiceRule, Rule, nearest
from zoning_assets.model import OWN_AXES, PARCELS_JOIN, ZONING, CodeRules, Feed, Jurisdiction, Minutes, Portal

_LONGEST_NAME = 40
_VARIABLE = re.compile(r"\$\{(\w{1,64})\}")


class JurisdictionReader:
    """Reads one document. It keeps the path of the file for messages."""

    def __init__(self, path: Path, feed_types: Collection[str]) -> None:
        self.path, self.feed_types = path, feed_types

    def jurisdiction(self, document: dict[str, Any]) -> Jurisdiction:
        """Return the jurisdiction that the document describes.

        Raises:
            JurisdictionInvalid: the document is invalid; the message names the file, the key and the valid choices.
        """
        found = self._values(document, "", keys.TOP)
        if not keys.ID.fullmatch(found["id"]) or found["id"] != self.path.stem:
            what = f"{found['id']!r} must be the file's name, of lower-case letters, digits and hyphens"
            self._invalid_key("id", what)
        tables = self._values(found["feeds"], "feeds", {**keys.FEEDS, **keys.OVERLAY_TABLES})
        overlays = tables.pop(keys.OVERLAYS, {})
        feeds = {name: self._feed(name, table) for name, table in tables.items()}
        codes = {"codes": self._codes(found["codes"])} if "codes" in found else {}
        described: dict[str, Any] = {
            "minutes": self._minutes(found["minutes"]) if "minutes" in found else None,
            "feeds": feeds,
            "portal": Portal(**self._values(found.get("portal", {}), "portal", keys.PORTAL)),
            "tripwires": self._values(found.get("tripwires", {}), "tripwires", keys.LIMITS),
        }
        read = Jurisdiction(**{**found, **described, **codes}, file=str(self.path))
        return self._with_overlays(read, overlays) if overlays else read

    def _with_overlays(self, read: Jurisdiction, tables: dict[str, Any]) -> Jurisdiction:
        """Add the overlay layers to the zoning map, and their codes to the rules."""
        zoning = read.feeds.get(ZONING)
        if zoning is None or "code" not in zoning.fields:
            self._invalid_key("feeds.overlays", "a map is needed that they belong to: `code` in [feeds.zoning.fields]")
        overlays = {name: self._overlay(name, table, zoning) for name, table in tables.items()}
        codes = replace(read.codes, layers={name: each.separator for name, each in overlays.items()})
        return replace(read, feeds={**read.feeds, ZONING: replace(zoning, overlays=overlays)}, codes=codes)

    def _overlay(self, name: str, table: dict[str, Any], zoning: Feed) -> Feed:
        at = f"feeds.overlays.{name}"
        if not keys.ID.fullmatch(name) or len(name) > _LONGEST_NAME:
            self._invalid_key(at, f"a name has lower-case letters, digits and hyphens, at most {_LONGEST_NAME}")
        found = self._values(self._read(keys.OVERLAY, table, at), at, keys.overlay_keys(self.feed_types))
        if "axes" in found and found["type"] in OWN_AXES:
            self._invalid_key(f"{at}.axes", f"{found['type']} finds the order by itself; leave it out")
        if ("key" in found) != (zoning.key is not None):
            self._invalid_key(f"{at}.key", "needed if feeds.zoning has a key, and only then")
        found["url"] = self._url(found["url"], at)
        found["fields"] = self._values(found.get("fields", {}), f"{at}.fields", keys.field_keys(ZONING))
        return Feed(name=f"overlay-{name}", **found)

    def _feed(self, name: str, table: dict[str, Any]) -> Feed:
        at = f"feeds.{name}"
        found = self._values(table, at, keys.feed_keys(name, self.feed_types))
        if "probe" in found and "probe_hours" in found:
            self._invalid_key(f"{at}.probe", "set either `probe` or `probe_hours`")
        if "axes" in found and found["type"] in OWN_AXES:
            self._invalid_key(f"{at}.axes", f"{found['type']} finds the order by itself; leave it out")
        found["url"] = self._url(found["url"], at)
        found["fields"] = self._values(found.get("fields", {}), f"{at}.fields", keys.field_keys(name))
        if "join" in found:
            found["join"] = self._join(found["join"], f"{at}.join", found["fields"])
        return Feed(name=name, **found)

    def _minutes(self, table: dict[str, Any]) -> Minutes:
        found = self._values(table, "minutes", keys.MINUTES)
        return Minutes(**{**found, "url": self._url(found["url"], "minutes")})

    def _join(self, table: dict[str, Any], at: str, fields: Mapping[str, str]) -> Feed:
        """Return the table to join, as a feed whose fields are the columns to take."""
        found = self._values(table, at, keys.join_keys(self.feed_types))
        found["url"] = self._url(found["url"], at)
        columns = {
            name: self._read(keys.JOIN_COLUMN, column, f"{at}.columns.{name}")
            for name, column in found.pop("columns").items()
        }
        for name in columns:
            if name in fields:
                self._invalid_key(f"{at}.columns.{name}", "the layer's own `fields` have it already")
        return Feed(name=PARCELS_JOIN, **found, fields=columns)

    def _url(self, text: str, at: str) -> str:
        """Replace `${NAME}` by the environment variable, so that a token need not be in the file."""
        for name in _VARIABLE.findall(text):
            if not os.environ.get(name):
                self._invalid_key(f"{at}.url", f"the environment has no variable {name}")
        return _VARIABLE.sub(lambda found: os.environ[found[1]], text)

    def _codes(self, table: dict[str, Any]) -> CodeRules:
        found = self._values(table, "codes", keys.CODES)
        same, types = self._same(found.get("same", {})), self._types(found.get("types", {}))
        # If there is no list of codes, the codes with a type are the list.
        return CodeRules(**{"listed": tuple(types), **found, "same": same, "types": types})

    def _same(self, same: dict[str, Any]) -> dict[str, str]:
        for portal_code, value in same.items():
            if (code := self._read(keys.CODE, value, f"codes.same.{portal_code}")) in same and code != portal_code:
                what = f"{code!r} is itself renamed; use the last code of the chain"
                self._invalid_key(f"codes.same.{portal_code}", what)
        return same

    def _types(self, table: dict[str, Any]) -> dict[str, str]:
        """Return code -> type. The table has codes with their type, or types with a list of their codes."""
        found: dict[str, str] = {}
        for key, value in table.items():
            at = f"codes.types.{key}"
            codes = self._read(keys.CODE_LIST, value, at) if isinstance(value, list) else (key,)
            kind = self._read(keys.ZONE_TYPE, key if isinstance(value, list) else value, at)
            for code in codes:
                if found.setdefault(code, kind) != kind:
                    self._invalid_key(at, f"{code!r} is {found[code]!r} already; a code has one type")
        return found

    def _values(self, table: dict[str, Any], at: str, known: Mapping[str, Key]) -> dict[str, Any]:
        """Return the values of a table by key, in the order of the file."""
        for key in table:
            if key not in known:
                valid = f"valid are: {', '.join(known)}"
                self._invalid_key(_path(at, key), f"unknown key{nearest(key, known)}; {valid}")
        found = {}
        for key, each in known.items():
            if key in table:
                found[key] = self._read(each.rule, table[key], _path(at, key))
            elif each.required:
                choices = ", ".join(each.rule.choices) if isinstance(each.rule, ChoiceRule) else ""
                hint = f"; choose one of: {choices}" if choices else ""
                self._invalid(f"{_path(at, key)} is missing{hint}")
        return {key: found[key] for key in table}

    def _read(self, rule: Rule, value: Any, key: str) -> Any:
        try:
            return rule.read(value)
        except ValueError as error:
            self._invalid_key(key, str(error))

    def _invalid_key(self, key: str, what: str) -> NoReturn:
        self._invalid(f"{key}: {what}")

    def _invalid(self, what: str) -> NoReturn:
        raise JurisdictionInvalid(what, where=str(self.path), do="fix the file")


def _path(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key
