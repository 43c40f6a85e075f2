"""Harvests that are being fetched. Pages are kept as they come, and with each what was asked for it.

A run that dies at page 900 goes on at 901, as long as the layer says of itself what it said then:

raw/JURISDICTION/FEED/TILE/draft/state.json     what the layer said, and since when
raw/JURISDICTION/FEED/TILE/draft/QUESTION.json  a question's answer: the name of a page
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import zstandard

from zoning_assets.errors import HarvestIncomplete
from zoning_assets.harvest import Harvest, Page
from zoning_assets.model import Place
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.object_store.raw_harvests import folder_of, page_name, read_packed
from zoning_assets.transform.geometry import content_hash

_LEVEL = 1  # level 3 takes 2.5 times as long for pages 9% smaller
#: A layer that does not say when it was edited may have been; pages older than this are asked for again.
_OLDEST = timedelta(hours=24)


@dataclass
class Draft:
    """A harvest that is being fetched. No commit, no harvest: pages alone are never read."""

    objects: Objects
    place: Place
    feed: str
    pages: list[Page] = field(default_factory=list)

    def begin(self, state: Mapping[str, Any], now: datetime | None = None) -> str:
        """Go on with what an earlier try left, or start anew; says which and why, nothing where nothing was left."""
        now = now or datetime.now(UTC)
        left = self.objects.find_json(self._state)
        asked = self._asked() if left else []
        if left and left["state"] == _plain(state) and now - datetime.fromisoformat(left["since"]) < _OLDEST:
            return f"went on with {len(asked)} pages of an earlier try" if asked else ""
        self.abandon()
        self.objects.put_json(self._state, {"state": _plain(state), "since": now.isoformat()})
        if not asked or left is None:
            return ""
        why = "too old" if left["state"] == _plain(state) else f"of {_brief(left['state'])}, now {_brief(state)}"
        return f"started anew: {len(asked)} pages of an earlier try are {why}"

    def find(self, question: Mapping[str, str]) -> bytes | None:
        """The answer to a question that was asked before."""
        entry = self.objects.find_json(self._entry(question))
        name = page_name(self.place, self.feed, entry["page"]) if entry else ""
        return read_packed(self.objects, name) if name and self.objects.has(name) else None

    def add(self, body: bytes, *, rows: int, question: Mapping[str, str] | None = None) -> Page:
        """Keep a page. The same bytes are kept once."""
        page = Page(hashlib.sha256(body).hexdigest(), rows, len(body))
        name = page_name(self.place, self.feed, page.name)
        new = not self.objects.has(name)
        if question is not None and (new or not self.objects.has(self._entry(question))):
            # Before the page: a page that is stored is known by its question, whenever the run dies.
            self.objects.put_json(self._entry(question), {"page": page.name, "new": new})
        if new:
            self.objects.put(name, zstandard.compress(body, _LEVEL))
        self.pages.append(page)
        return page

    def abandon(self) -> None:
        """Forget all pages and questions; pages that stood here before the draft stay."""
        self._clear(keep=frozenset())
        self.pages.clear()

    def commit(self, *, form: str, layer: dict[str, Any], proof: dict[str, Any], picked: str = "") -> Harvest:
        """Make the pages a harvest: its manifest, then the pointer to it. `picked`: see harvest.Harvest.

        Raises:
            HarvestIncomplete: another process that harvests the same layer has deleted some.
        """
        names = {page_name(self.place, self.feed, page.name) for page in self.pages}
        if not all(map(self.objects.has, names)):
            what = "pages are gone: another process harvests the same layer"
            raise HarvestIncomplete(what, where=f"{self.place} {self.feed}", do="run again; nothing was published")
        place, pages = self.place, tuple(self.pages)
        draft = Harvest(place.jurisdiction, self.feed, place.tile, form, layer, pages, proof, picked=picked)
        harvest = replace(draft, id=_id(draft))
        self.objects.put_json(f"{self._folder}/harvests/{harvest.id}.json", asdict(harvest))
        self.objects.put_json(f"{self._folder}/latest.json", {"harvest": harvest.id})
        self._clear(keep={page.name for page in self.pages})
        return harvest

    def _clear(self, keep: set[str] | frozenset[str]) -> None:
        entries = self._asked()
        if not entries and not self.objects.has(self._state):
            return
        said = [self.objects.find_json(name) or {} for name in entries]
        pages = {entry["page"] for entry in said if entry.get("new")} - keep
        self.objects.delete([page_name(self.place, self.feed, name) for name in sorted(pages)])
        self.objects.delete([*entries, self._state])  # last: without them nobody would know which pages to delete

    def _asked(self) -> list[str]:
        return [name for name in self.objects.names(f"{self._folder}/draft") if not name.endswith("/state.json")]

    def _entry(self, question: Mapping[str, str]) -> str:
        return f"{self._folder}/draft/{hashlib.sha256(_sorted(question)).hexdigest()[:40]}.json"

    @property
    def _state(self) -> str:
        return f"{self._folder}/draft/state.json"

    @property
    def _folder(self) -> str:
        return folder_of(self.place, self.feed)


def _sorted(document: Any) -> bytes:
    return content_hash.json_bytes(document)


def _plain(state: Mapping[str, Any]) -> Any:
    """As it will be when it was written and read."""
    return orjson.loads(_sorted(state))


def _brief(state: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(state.items()) if isinstance(value, int | str))[:200]


def _id(harvest: Harvest) -> str:
    """By what was received and how it is read; not by when, nor by the order of the answers."""
    pages = sorted((page.kind, page.name) for page in harvest.pages)
    content = [harvest.jurisdiction, harvest.feed, harvest.tile, harvest.form, harvest.layer, pages]
    content += [harvest.picked] if harvest.picked else []
    return hashlib.sha256(_sorted(content)).hexdigest()[:32]
