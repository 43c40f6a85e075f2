"""The JSON Schema of a jurisdiction file, for editors that complete TOML (docs/reference/jurisdiction.schema.json).

It describes each key independently. Only the reader checks rules about several keys, time zones, CRSs and ids.
"""

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from zoning_assets.jurisdictions import keys
from zoning_assets.jurisdictions.keys import Key
from zoning_assets.model import ZONING, CodeRules, Feed, Jurisdiction, Minutes, Portal


def json_schema(feed_types: Collection[str]) -> dict[str, Any]:
    """Return the schema. It is draft 7, because TOML plug-ins of editors support this draft."""
    feeds = {feed: _feed(feed, feed_types) for feed in keys.FEEDS}
    tables = {
        "feeds": _table({**keys.FEEDS, **keys.OVERLAY_TABLES}, None, {**feeds, **_overlays(feed_types)}),
        "portal": _table(keys.PORTAL, Portal),
        "minutes": _table(keys.MINUTES, Minutes),
        "codes": _codes(),
        "tripwires": _table(keys.LIMITS, None),
    }
    top = _table(keys.TOP, Jurisdiction, tables)
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "A jurisdiction of zoning_assets", **top}


def _feed(feed: str, feed_types: Collection[str]) -> dict[str, Any]:
    tables = {"fields": _table(keys.field_keys(feed), None)}
    if "join" in (known := keys.feed_keys(feed, feed_types)):
        columns = {"columns": {"additionalProperties": keys.JOIN_COLUMN.schema()}}
        tables["join"] = _table(keys.join_keys(feed_types), Feed, columns)
    return _table(known, Feed, tables)


def _overlays(feed_types: Collection[str]) -> dict[str, Any]:
    fields_ = {"fields": _table(keys.field_keys(ZONING), None)}
    return {keys.OVERLAYS: {"additionalProperties": _table(keys.overlay_keys(feed_types), Feed, fields_)}}


def _codes() -> dict[str, Any]:
    either = {"anyOf": [keys.ZONE_TYPE.schema(), keys.CODE_LIST.schema()]}
    tables = {"same": {"additionalProperties": keys.CODE.schema()}, "types": {"additionalProperties": either}}
    return _table(keys.CODES, CodeRules, tables)


def _table(known: Mapping[str, Key], model: Any, tables: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of a table.

    Args:
        known: the keys of the table.
        model: the dataclass with the default values.
        tables: key -> additional schema of a key that is itself a table.
    """
    defaults = {each.name: each.default for each in fields(model)} if model else {}
    found: dict[str, Any] = {}
    for name, key in known.items():
        default = defaults.get(name)
        stated = {"default": default} if isinstance(default, str | int | float) and not key.required else {}
        found[name] = {"description": key.description, **key.rule.schema(), **stated, **(tables or {}).get(name, {})}
    required = [name for name, key in known.items() if key.required]
    return {
        "type": "object",
        "additionalProperties": False,
        **({"required": required} if required else {}),
        "properties": found,
    }
