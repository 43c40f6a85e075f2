"""The published JSON Schema of jurisdiction files is that of the reader."""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from tests.support.generated_files import ROOT, check_generated
from zoning_assets import jurisdictions
from zoning_assets.jurisdictions.json_schema import json_schema
from zoning_assets.model import Feed, Jurisdiction, Portal
from zoning_assets.sources import FEED_TYPES

PUBLISHED = "docs/reference/jurisdiction.schema.json"
SCHEMA = json_schema(FEED_TYPES)


def test_the_published_schema_is_that_of_the_reader() -> None:
    check_generated(PUBLISHED, json.dumps(SCHEMA, indent=2) + "\n", __file__)


def test_editors_find_the_schema() -> None:
    """taplo, which editors use for TOML, takes the file from .taplo.toml for a user's files and for the examples."""
    (rule,) = tomllib.loads((ROOT / ".taplo.toml").read_text(encoding="utf-8"))["rule"]
    assert rule["schema"]["path"] == PUBLISHED
    folders = {str((ROOT / each).parent) for each in rule["include"]}
    assert folders == {str(ROOT / "jurisdictions"), str(jurisdictions.PACKAGED)}


def test_the_keys_are_the_fields_of_the_model() -> None:
    """A new field of the model is a key of the file, or stands here with the reason why not."""
    feed = SCHEMA["properties"]["feeds"]["properties"]["parcels"]["properties"]
    # `name`: of its table; `overlays` and `separator`: of [feeds.overlays.NAME]
    assert set(feed) == {each.name for each in fields(Feed)} - {"name", "overlays", "separator"}
    overlay = SCHEMA["properties"]["feeds"]["properties"]["overlays"]["additionalProperties"]["properties"]
    assert set(overlay) - set(feed) == {"separator"}
    assert set(SCHEMA["properties"]["portal"]["properties"]) == {each.name for each in fields(Portal)}
    assert set(SCHEMA["properties"]) == {each.name for each in fields(Jurisdiction)} - {"file"}  # where it was read


def test_every_key_has_a_description() -> None:
    assert [name for name, key in keys_of(SCHEMA) if not key.get("description")] == []


def keys_of(table: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, key in table.get("properties", {}).items():
        yield name, key
        yield from keys_of(key)


@pytest.mark.parametrize("path", sorted(jurisdictions.PACKAGED.glob("*.toml")), ids=lambda path: path.stem)
def test_the_schema_knows_every_key_of_the_examples(path) -> None:
    """A file without a fault for the reader has none for the schema's keys, required keys and choices."""
    assert list(faults(tomllib.loads(path.read_text(encoding="utf-8")), SCHEMA)) == []


def faults(value: Any, schema: dict[str, Any]) -> Iterator[str]:
    """The part of JSON Schema that matters here: properties, required keys, choices."""
    if value not in schema.get("enum", [value]):
        yield f"{value!r} is not one of {schema['enum']}"
    if not isinstance(value, dict):
        return
    yield from (f"{key} is missing" for key in schema.get("required", ()) if key not in value)
    for key, each in value.items():
        known = schema["properties"].get(key) if "properties" in schema else {}
        if known is None:
            yield f"{key} is unknown"
        else:
            yield from faults(each, known)
