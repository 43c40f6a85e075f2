"""Harvests that are being fetched. Each page is stored when it arrives, with the parameters of its request (question).

A run that fails at page 900 is continued at page 901, if the state of the layer is unchanged:

raw/JURISDICTION/FEED/TILE/draft/state.json     the state of the layer, and when the draft began
raw/JURISDICTION/FEED/TILE/draft/HASH.json      the page that answered a request; HASH is that of the question
"""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import zstandard

from zoning_assets.errors import HarvestIncomplete, HarvestMissing
from zoning_assets.harvest import Harvest, Page
from zoning_assets.model import Place
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.object_store.raw_harvests import folder_of, page_name, read_packed
from zoning_assets.transform.geometry import content_hash

_LEVEL = 1  # level 3 takes 2.5 times as long, and pages are 9% smaller
#: Not all layers state when they were edited, so pages of an older draft are fetched again.
_MAX_AGE = timedelta(hours=24)
#: Requests to the store at the same time.
_THREADS = 16


@dataclass
class HarvestDraft:
    """A harvest that is being fetched. It becomes a harvest with `commit`; pages without a manifest are never read."""

    objects: Objects
    place: Place
    feed: str
    pages: list[Page] = field(default_factory=list)
    _written: dict[str, dict[str, Any]] = field(default_factory=dict)  # entries that this object wrote, by name

    def begin(self, state: Mapping[str, Any], now: datetime | None = None) -> str:
        """Continue an earlier draft, or discard it and start again.

        Args:
            state: the state of the layer; a draft of another state is discarded.
            now: the current time.

        Returns:
            A message about the earlier draft; empty: there was none.
        """
        now = now or datetime.now(UTC)
        left = self.objects.find_json(self._state)
        entries = self._entries() if left else []
        if left and left["state"] == _plain(state) and now - datetime.fromisoformat(left["since"]) < _MAX_AGE:
            return f"continued with {len(entries)} pages of an earlier run" if entries else ""
        self.abandon()
        self.objects.put_json(self._state, {"state": _plain(state), "since": now.isoformat()})
        if not entries or left is None:
            return ""
        changed = f"the layer's state was {_brief(left['state'])}, now {_brief(state)}"
        why = "they are too old" if left["state"] == _plain(state) else changed
        return f"started again: {len(entries)} pages of an earlier run were deleted: {why}"

    def find(self, question: Mapping[str, str]) -> bytes | None:
        """The stored page that answered a question; None: there is none."""
        entry = self.objects.find_json(self._entry(question))
        try:
            return read_packed(self.objects, page_name(self.place, self.feed, entry["page"])) if entry else None
        except HarvestMissing:
            return None

    def add(self, body: bytes, *, rows: int, question: Mapping[str, str] | None = None) -> Page:
        """Store a page; equal pages are stored once.

        Args:
            body: the response.
            rows: the number of its rows.
            question: the parameters of the request that it answers; None: a later run does not look for it.
        """
        page = Page(hashlib.sha256(body).hexdigest(), rows, len(body))
        name = page_name(self.place, self.feed, page.name)
        new = not self.objects.has(name)
        if question is not None and (new or not self.objects.has(self._entry(question))):
            # Written before the page: if the run fails in between, `_clear` still knows the page.
            self._written[self._entry(question)] = entry = {"page": page.name, "new": new}
            self.objects.put_json(self._entry(question), entry)
        if new:
            self.objects.put(name, zstandard.compress(body, _LEVEL))
        self.pages.append(page)
        return page

    def abandon(self) -> None:
        """Delete all pages and questions of the draft; pages that existed before the draft stay."""
        self._clear(keep=frozenset())
        self.pages.clear()

    def commit(self, *, form: str, layer: dict[str, Any], proof: dict[str, Any], picked: str = "") -> Harvest:
        """Write the manifest of the pages, then the pointer to the newest harvest. `picked`: see harvest.Harvest.

        Raises:
            HarvestIncomplete: another process that harvests the same layer has deleted pages.
        """
        names = {page_name(self.place, self.feed, page.name) for page in self.pages}
        with ThreadPoolExecutor(_THREADS) as threads:
            is_complete = all(threads.map(self.objects.has, names))
        if not is_complete:
            what = "pages were deleted: another process harvests the same layer"
            raise HarvestIncomplete(what, where=f"{self.place} {self.feed}", do="run again; nothing was published")
        place, pages = self.place, tuple(self.pages)
        draft = Harvest(place.jurisdiction, self.feed, place.tile, form, layer, pages, proof, picked=picked)
        harvest = replace(draft, id=_id(draft))
        self.objects.put_json(f"{self._folder}/harvests/{harvest.id}.json", asdict(harvest))
        self.objects.put_json(f"{self._folder}/latest.json", {"harvest": harvest.id})
        self._clear(keep={page.name for page in self.pages})
        return harvest

    def _clear(self, keep: set[str] | frozenset[str]) -> None:
        entries = self._entries()
        if not entries and not self.objects.has(self._state):
            return
        with ThreadPoolExecutor(_THREADS) as threads:
            documents = list(
                threads.map(lambda name: self._written.get(name) or self.objects.find_json(name) or {}, entries)
            )
        pages = {entry["page"] for entry in documents if entry.get("new")} - keep
        self.objects.delete([page_name(self.place, self.feed, name) for name in sorted(pages)])
        self.objects.delete([*entries, self._state])  # last, because they name the pages to delete

    def _entries(self) -> list[str]:
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
    """The state after a JSON round trip."""
    return orjson.loads(_sorted(state))


def _brief(state: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(state.items()) if isinstance(value, int | str))[:200]


def _id(harvest: Harvest) -> str:
    """The id of a harvest: a hash of its pages and of how they are read, not of times or the order of responses."""
    pages = sorted((page.kind, page.name) for page in harvest.pages)
    content = [harvest.jurisdiction, harvest.feed, harvest.tile, harvest.form, harvest.layer, pages]
    content += [harvest.picked] if harvest.picked else []
    return hashlib.sha256(_sorted(content)).hexdigest()[:32]
