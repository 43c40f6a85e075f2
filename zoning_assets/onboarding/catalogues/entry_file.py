"""The proposed jurisdiction file of a catalogue's entry. What the catalogue does not state is not written."""

from typing import Any

from zoning_assets.onboarding.address_list import ListedAddress, origin
from zoning_assets.onboarding.catalogues.catalogue_entry import CatalogueEntry
from zoning_assets.onboarding.toml_text import quoted, remark


def toml(entry: CatalogueEntry) -> str:
    """The text of the file. It is valid if `entry.lacks` is empty."""
    head = [
        "# Proposed by `zoning catalogue` from a catalogue only: its portal was not asked. Check each line.",
        f"# {remark(origin(entry.url), 300)}",
        *(f"# {remark(each, 300)}" for each in entry.remarks),
        *(f"# Missing: {each}; `zoning catalogue --probe` asks the portal" for each in entry.lacks),
        f"id = {quoted(entry.id)}",
        f"name = {quoted(entry.name)}",
        *([f"bounds = {list(entry.bounds)}  # {remark(entry.bounds_of)}"] if entry.bounds else []),
        'target_crs = "EPSG:4326"',
        'tile_resolution = "auto"',
        "",
        f"[feeds.{entry.feed}]",
        f"type = {quoted(entry.type)}",
        f"url = {quoted(entry.url)}",
    ]
    named = {"layer": entry.layer, "crs": entry.crs, "key": entry.key}
    lines = [f"{name} = {quoted(value)}  # of the catalogue" for name, value in named.items() if value]
    policy = ['on_repeated_key = "reject"  # not known: `zoning catalogue --probe` proposes it'] if entry.key else []
    return "\n".join([*head, *lines, *policy]) + "\n"


def as_dict(entry: CatalogueEntry) -> dict[str, Any]:
    """The proposal as that of a portal (Proposal.as_dict), with what is not known as None."""
    columns = {"key": [{"column": entry.key}]} if entry.key else {}
    feed = {"type": entry.type, "url": entry.url, "layer": entry.layer, "rows": None, "crs": entry.crs}
    feeds = {entry.feed: {**feed, "columns": columns}}
    return {"id": entry.id, "name": entry.name, "bounds": entry.bounds, "feeds": feeds, "toml": toml(entry)}


def to_probe(entry: CatalogueEntry) -> ListedAddress:
    """The entry as an address whose portal is asked."""
    known = (entry.id, entry.name, entry.key, entry.layer, entry.remarks)
    return ListedAddress(entry.url, entry.where, *known)
