"""Raw: pages as they came and the manifest that makes them a harvest. Immutable, named by content.

raw/JURISDICTION/FEED/TILE/pages/SHA256.zst     a page
raw/JURISDICTION/FEED/TILE/harvests/ID.json     a manifest; without it the pages are no harvest
raw/JURISDICTION/FEED/TILE/latest.json          the id of the newest
raw/JURISDICTION/FEED/cover.json                the tiles, and what is owned in an unusual way
"""

import hashlib
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson
import zstandard

from zoning_assets.errors import HarvestMissing
from zoning_assets.model import Cover, Harvest, Page, Place
from zoning_assets.stores.objects import Objects

_LEVEL = 1  # level 3 takes 2.5 times as long for pages 9% smaller
_LARGEST_PAGE = 1 << 30


@dataclass
class Draft:
    """A harvest that is being fetched. No commit, no harvest: pages alone are never read."""

    objects: Objects
    place: Place
    feed: str
    pages: list[Page] = field(default_factory=list)

    def add(self, body: bytes, *, rows: int, kind: str = "area") -> Page:
        """Keep a page. The same bytes are kept once."""
        page = Page(hashlib.sha256(body).hexdigest(), rows, len(body), kind)
        name = _page_name(self.place, self.feed, page.name)
        if not self.objects.has(name):
            self.objects.put(name, zstandard.compress(body, _LEVEL))
        self.pages.append(page)
        return page

    def commit(self, *, form: str, layer: dict[str, Any], proof: dict[str, Any]) -> Harvest:
        """Make the pages a harvest: its manifest, then the pointer to it."""
        draft = Harvest(self.place.jurisdiction, self.feed, self.place.tile, form, layer, tuple(self.pages), proof)
        harvest = replace(draft, id=_id(draft))
        folder = _folder(self.place, self.feed)
        self.objects.put_json(f"{folder}/harvests/{harvest.id}.json", asdict(harvest))
        self.objects.put_json(f"{folder}/latest.json", {"harvest": harvest.id})
        return harvest


def latest(objects: Objects, place: Place, feed: str) -> Harvest:
    """The newest harvest of a feed at a place.

    Raises:
        HarvestMissing: there is none yet.
    """
    folder = _folder(place, feed)
    pointer = objects.find_json(f"{folder}/latest.json")
    if pointer is None:
        raise HarvestMissing(f"no harvest of {feed} yet", where=str(place), do="materialize raw_feed first")
    document = orjson.loads(objects.get(f"{folder}/harvests/{pointer['harvest']}.json"))
    return Harvest(**{**document, "pages": tuple(Page(**page) for page in document["pages"])})


def read_page(objects: Objects, harvest: Harvest, page: Page) -> bytes:
    """A page's bytes, as the portal sent them."""
    place = Place(harvest.jurisdiction, harvest.tile)
    packed = objects.get(_page_name(place, harvest.feed, page.name))
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=_LARGEST_PAGE)


def put_cover(objects: Objects, cover: Cover) -> None:
    """Keep a cover, replacing the one before."""
    objects.put_json(f"raw/{cover.jurisdiction}/{cover.feed}/cover.json", asdict(cover))


def find_cover(objects: Objects, jurisdiction: str, feed: str) -> Cover | None:
    """The cover found last, or None."""
    document = objects.find_json(f"raw/{jurisdiction}/{feed}/cover.json")
    return Cover(**document) if document else None


def _folder(place: Place, feed: str) -> str:
    return f"raw/{place.jurisdiction}/{feed}/{place.tile or 'whole'}"


def _page_name(place: Place, feed: str, name: str) -> str:
    return f"{_folder(place, feed)}/pages/{name}.zst"


def _id(harvest: Harvest) -> str:
    """By what was received and how it is read; not by when, nor by the order of the answers."""
    pages = sorted((page.kind, page.name) for page in harvest.pages)
    content = [harvest.jurisdiction, harvest.feed, harvest.tile, harvest.form, harvest.layer, pages]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
