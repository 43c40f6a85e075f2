"""Raw: pages as they came and the manifest that makes them a harvest. Immutable, named by content.

raw/JURISDICTION/FEED/TILE/pages/SHA256.zst     a page
raw/JURISDICTION/FEED/TILE/harvests/ID.json     a manifest; without it the pages are no harvest
raw/JURISDICTION/FEED/TILE/latest.json          the id of the newest
raw/JURISDICTION/FEED/TILE/mark.json             what the portal said of the tile then, where it can say so much
raw/JURISDICTION/FEED/TILE/draft/...            what was asked in a harvest that is not whole yet; see drafts.py
raw/JURISDICTION/FEED/cover.json                the tiles, and what is owned in an unusual way
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson
import zstandard

from zoning_assets.errors import HarvestMissing
from zoning_assets.model import Cover, Harvest, Page, Place
from zoning_assets.stores.objects import Objects

_LARGEST_PAGE = 1 << 30
#: A page that is no longer what was compressed.
BrokenPage = zstandard.ZstdError


def latest(objects: Objects, place: Place, feed: str) -> Harvest:
    """The newest harvest of a feed at a place.

    Raises:
        HarvestMissing: there is none yet.
    """
    folder = folder_of(place, feed)
    pointer = objects.find_json(f"{folder}/latest.json")
    if pointer is None:
        raise HarvestMissing(f"no harvest of {feed} yet", where=str(place), do="materialize raw_feed first")
    return of(objects, place, feed, pointer["harvest"])


def of(objects: Objects, place: Place, feed: str, harvest: str) -> Harvest:
    """A harvest by its id.

    Raises:
        HarvestMissing: it is not stored.
    """
    document = orjson.loads(objects.get(f"{folder_of(place, feed)}/harvests/{harvest}.json"))
    return Harvest(**{**document, "pages": tuple(Page(**page) for page in document["pages"])})


def put_mark(objects: Objects, harvest: Harvest, mark: Mapping[str, Any], at: datetime) -> None:
    """Keep what the portal said of a place before this harvest of it was fetched, and when that was."""
    folder = folder_of(Place(harvest.jurisdiction, harvest.tile), harvest.feed)
    objects.put_json(f"{folder}/mark.json", {"harvest": harvest.id, "mark": dict(mark), "at": at.isoformat()})


def find_unmoved(objects: Objects, place: Place, feed: str, mark: Mapping[str, Any], since: datetime) -> Harvest | None:
    """The newest harvest, if the portal said the same of the place then, and that was not before `since`."""
    known = objects.find_json(f"{folder_of(place, feed)}/mark.json")
    if not known or known["mark"] != dict(mark) or datetime.fromisoformat(known["at"]) < since:
        return None
    newest = latest(objects, place, feed)
    return newest if newest.id == known["harvest"] else None


def forget_marks(objects: Objects, cover: Cover) -> None:
    """Let every tile be fetched the next time, whatever the portal says of it."""
    objects.delete([f"{folder_of(Place(cover.jurisdiction, tile), cover.feed)}/mark.json" for tile in cover.tiles])


def read_page(objects: Objects, harvest: Harvest, page: Page) -> bytes:
    """A page's bytes, as the portal sent them."""
    place = Place(harvest.jurisdiction, harvest.tile)
    return read_packed(objects, page_name(place, harvest.feed, page.name))


def read_packed(objects: Objects, name: str) -> bytes:
    """An object that was compressed, within a limit of size."""
    return zstandard.ZstdDecompressor().decompress(objects.get(name), max_output_size=_LARGEST_PAGE)


def put_cover(objects: Objects, cover: Cover) -> None:
    """Keep a cover, replacing the one before."""
    objects.put_json(f"raw/{cover.jurisdiction}/{cover.feed}/cover.json", asdict(cover))


def find_cover(objects: Objects, jurisdiction: str, feed: str) -> Cover | None:
    """The cover found last, or None."""
    document = objects.find_json(f"raw/{jurisdiction}/{feed}/cover.json")
    return Cover(**document) if document else None


def folder_of(place: Place, feed: str) -> str:
    """Where all that was received of a feed for a place lies."""
    return f"raw/{place.jurisdiction}/{feed}/{place.tile or 'whole'}"


def page_name(place: Place, feed: str, name: str) -> str:
    """Where a page lies."""
    return f"{folder_of(place, feed)}/pages/{name}.zst"
