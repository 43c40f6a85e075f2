"""Reads one jurisdiction file: each key by its rule (keys.py), then what several keys must agree on."""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn

from zoning_assets.errors import JurisdictionInvalid
from zoning_assets.jurisdictions import keys
from zoning_assets.jurisdictions.keys import Key
from zoning_assets.jurisdictions.rules import Choice, Rule, nearest
from zoning_assets.model import OWN_AXES, CodeRules, Feed, Jurisdiction, Portal

_VARIABLE = re.compile(r"\$\{(\w{1,64})\}")


class Reader:
    """Reads one document; knows the file, so that each message can name it."""

    def __init__(self, path: Path, feed_types: Collection[str]) -> None:
        self.path, self.feed_types = path, feed_types

    def jurisdiction(self, document: dict[str, Any]) -> Jurisdiction:
        """The jurisdiction that the document describes.

        Raises:
            JurisdictionInvalid: one line that names the file, the key and the valid choices.
        """
        found = self._values(document, "", keys.TOP)
        if not keys.ID.fullmatch(found["id"]) or found["id"] != self.path.stem:
            self._wrong("id", f"{found['id']!r} must be the file's name, of lower-case letters, digits and hyphens")
        feeds = self._values(found["feeds"], "feeds", keys.FEEDS)
        codes = {"codes": self._codes(found["codes"])} if "codes" in found else {}
        described = {
            "feeds": {name: self._feed(name, table) for name, table in feeds.items()},
            "portal": Portal(**self._values(found.get("portal", {}), "portal", keys.PORTAL)),
            "tripwires": self._values(found.get("tripwires", {}), "tripwires", keys.LIMITS),
        }
        return Jurisdiction(**{**found, **described, **codes}, file=str(self.path))

    def _feed(self, name: str, table: dict[str, Any]) -> Feed:
        at = f"feeds.{name}"
        found = self._values(table, at, keys.feed_keys(name, self.feed_types))
        if "probe" in found and "probe_hours" in found:
            self._wrong(f"{at}.probe", "say either `probe` or `probe_hours`")
        if "axes" in found and found["type"] in OWN_AXES:
            self._wrong(f"{at}.axes", f"{found['type']} finds the order by itself; leave it out")
        found["url"] = self._url(found["url"], at)
        found["fields"] = self._values(found.get("fields", {}), f"{at}.fields", keys.field_keys(name))
        return Feed(name=name, **found)

    def _url(self, text: str, at: str) -> str:
        """With what the environment holds in place of `${NAME}`: a token need not be in the file."""
        for name in _VARIABLE.findall(text):
            if not os.environ.get(name):
                self._wrong(f"{at}.url", f"the environment has no variable {name}")
        return _VARIABLE.sub(lambda found: os.environ[found[1]], text)

    def _codes(self, table: dict[str, Any]) -> CodeRules:
        found = self._values(table, "codes", keys.CODES)
        same, types = self._same(found.get("same", {})), self._types(found.get("types", {}))
        # The codes that have a type are a list too: no file need list them twice.
        return CodeRules(**{"listed": tuple(types), **found, "same": same, "types": types})

    def _same(self, same: dict[str, Any]) -> dict[str, str]:
        for theirs, value in same.items():
            if (ours := self._read(keys.CODE, value, f"codes.same.{theirs}")) in same and ours != theirs:
                self._wrong(f"codes.same.{theirs}", f"{ours!r} is itself renamed; name the last code of the chain")
        return same

    def _types(self, table: dict[str, Any]) -> dict[str, str]:
        """By code: as "R-1" = "Primarily Residential", or shorter, a type with the list of its codes."""
        found: dict[str, str] = {}
        for key, value in table.items():
            at = f"codes.types.{key}"
            codes = self._read(keys.CODE_LIST, value, at) if isinstance(value, list) else (key,)
            kind = self._read(keys.ZONE_TYPE, key if isinstance(value, list) else value, at)
            for code in codes:
                if found.setdefault(code, kind) != kind:
                    self._wrong(at, f"{code!r} is {found[code]!r} already; a code has one type")
        return found

    def _values(self, table: dict[str, Any], at: str, known: Mapping[str, Key]) -> dict[str, Any]:
        """The values of a table by key, in the order of the file."""
        for key in table:
            if key not in known:
                valid = f"valid are: {', '.join(known)}"
                self._wrong(_path(at, key), f"unknown key; {valid}{nearest(key, known)}")
        found = {}
        for key, each in known.items():
            if key in table:
                found[key] = self._read(each.rule, table[key], _path(at, key))
            elif each.required:
                choices = f"; choose one of: {', '.join(each.rule.choices)}" if isinstance(each.rule, Choice) else ""
                self._complain(f"{_path(at, key)} is missing{choices}")
        return {key: found[key] for key in table}

    def _read(self, rule: Rule, value: Any, key: str) -> Any:
        try:
            return rule.read(value)
        except ValueError as error:
            self._wrong(key, str(error))

    def _wrong(self, key: str, what: str) -> NoReturn:
        self._complain(f"{key}: {what}")

    def _complain(self, what: str) -> NoReturn:
        raise JurisdictionInvalid(what, where=str(self.path), do="fix the file")


def _path(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key
