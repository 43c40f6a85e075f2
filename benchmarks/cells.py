"""One cell of the chaos matrix: a county behind a lying portal, harvested for real; then, what became of the rows.

A cell ends well in two ways: what is published is exactly the truth, or nothing of it was touched and the error names
the fault. The truth is what an undisturbed harvest publishes. Where the portal edits rows in between, each tile may be
as before the edit or as after it, and nothing in between.
"""

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from zoning_assets import jurisdictions
from zoning_assets.errors import Defect, ZoningError
from zoning_assets.feeds import FEED_TYPES
from zoning_assets.http import Http
from zoning_assets.model import PARCELS, Jurisdiction, Outcome, Place
from zoning_assets.pipeline import STAGES, Pipeline
from zoning_assets.pool import Pool
from zoning_assets.simulation.chaos import FAULTS, Chaos
from zoning_assets.simulation.chaos.edits import edited
from zoning_assets.simulation.chaos.faults import edit_of
from zoning_assets.simulation.county import ID, county_toml
from zoning_assets.simulation.layer import Layer
from zoning_assets.simulation.portal import CountyReleases, county_portal
from zoning_assets.stores.objects import Objects

PARCELS_IN_ALL, PAGE_ROWS, TILE_RESOLUTION = 400, 100, 6
#: What a feed's `strategy` may be; until the feed has that key, only what it does by itself.
STRATEGIES = ("auto",)

EXACT, REFUSED = "exact", "refused"


@dataclass(frozen=True)
class Cell:
    """Which faults, how they fall, by which strategy the feed asks, and whether the county was published before."""

    faults: tuple[str, ...]
    seed: int = 0
    strategy: str = "auto"
    published: bool = False

    def __str__(self) -> str:
        before = ", published before" if self.published else ""
        return f"{' + '.join(self.faults) or 'nothing'}, seed {self.seed}, {self.strategy}{before}"


@dataclass(frozen=True)
class State:
    """What the database says: each parcel's tile and content hash, and each row held back, by tile and object id."""

    parcels: Mapping[str, tuple[str, str]]
    held: Counter[tuple[str, int]]

    def of(self, tile: str) -> tuple[dict[str, str], dict[int, int]]:
        """One tile's part: content hash by key, how often each object id is held back."""
        held = {oid: count for (where, oid), count in self.held.items() if where == tile}
        return {key: content for key, (where, content) in self.parcels.items() if where == tile}, held

    @property
    def tiles(self) -> set[str]:
        """All that hold something."""
        return {tile for tile, _ in self.parcels.values()} | {tile for tile, _ in self.held}


@dataclass(frozen=True)
class Verdict:
    """How a cell ended. `what` begins with EXACT or REFUSED, or says in capitals what went wrong."""

    cell: Cell
    what: str
    bites: Mapping[str, int]
    requests: int
    errors: Sequence[str] = ()
    log: Sequence[str] = field(default=(), repr=False)  # what was asked, in order

    @property
    def word(self) -> str:
        """The first word of `what`."""
        return self.what.partition(":")[0].partition(" ")[0]


class Hurried:
    """Time that passes at once for whoever sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0)

    def clock(self) -> float:
        return self.now_s

    def now(self) -> datetime:
        return datetime.fromtimestamp(1_750_000_000 + self.now_s, UTC)

    def client(self) -> Http:
        return Http(sleep=self.sleep, jitter=lambda: 0.5, clock=self.clock, now=self.now)


class Matrix:
    """Harvests cell after cell on one event loop, from one portal; a database and a store of its own for each."""

    def __init__(self, server: str, folder: Path, pool: Pool) -> None:
        """`server`: a migrated database to copy, on a server whose user may create databases."""
        self.folder, self.pool, self.server = folder, pool, server
        self.releases = CountyReleases(PARCELS_IN_ALL, page_rows=PAGE_ROWS)
        self.portal = county_portal(self.releases)
        self._truths: dict[tuple[int, tuple[str, bool] | None], State] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._runner = self._stack.enter_context(asyncio.Runner())
        serving = self.portal.running()
        self.address = self._runner.run(serving.__aenter__())
        self._stack.callback(lambda: self._runner.run(serving.__aexit__(None, None, None)))
        self._published = self._stack.enter_context(_copy(self.server, self.server))
        shutil.rmtree(self.folder, ignore_errors=True)
        tiles, errors = self._harvest(Cell(()), self.releases(1), None, self._published, self.folder / "published")
        _undisturbed(errors)
        self._truths[1, None] = _state(self._published)
        self.tiles = tiles
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def verdict(self, cell: Cell) -> Verdict:
        """Harvest once under the cell's faults."""
        release = 2 if cell.published else 1
        chaos = Chaos(cell.faults, cell.seed)
        edits = [edit for name in cell.faults if (edit := edit_of(name))]
        truths = [self.truth(release), *(self.truth(release, edit) for edit in edits)]
        with self._place(published=cell.published) as (url, folder):
            before = _state(url)
            tiles, errors = self._harvest(cell, self.releases(release), chaos, url, folder)
            what = _judged(before, _state(url), truths, tiles, errors) or _named(cell, errors)
        said = [f"{tile or 'cover'}: {error}" for tile, error in errors.items() if error]
        log = [f"{status} {asked.kind} {_short(asked.params)}" for asked, status in chaos.log]
        return Verdict(cell, what, chaos.bites, len(chaos.log), said, log)

    def truth(self, release: int, edit: tuple[str, bool] | None = None) -> State:
        """What an undisturbed harvest publishes; harvested once."""
        if (release, edit) not in self._truths:
            first, *rest = self.releases(release)
            layers = [edited(first, edit[0], stamped=edit[1]) if edit else first, *rest]
            with self._place(published=False) as (url, folder):
                _, errors = self._harvest(Cell(()), layers, None, url, folder)
                _undisturbed(errors)
                self._truths[release, edit] = _state(url)
        return self._truths[release, edit]

    @contextmanager
    def _place(self, *, published: bool) -> Iterator[tuple[str, Path]]:
        """A database and a folder for one cell: empty, or as the first release's harvest left them."""
        folder = self.folder / "cell"
        shutil.rmtree(folder, ignore_errors=True)
        if published:
            shutil.copytree(self.folder / "published", folder)
        with _copy(self.server, self._published if published else self.server) as url:
            yield url, folder

    def _harvest(
        self, cell: Cell, layers: Sequence[Layer], chaos: Chaos | None, url: str, folder: Path
    ) -> tuple[list[str], dict[str | None, Exception | None]]:
        """The tiles that were found, and each tile's error; the cover's error stands under None."""
        self.portal.layers, self.portal.chaos = list(layers), chaos
        pipeline = Pipeline(Objects(str(folder / "store")), url, folder / "scratch", self.pool, Hurried().client)
        return self._runner.run(_synced(pipeline, self._county(cell, folder)))

    def _county(self, cell: Cell, folder: Path) -> Jurisdiction:
        """One connection, so that questions come in an order; repeated keys are numbered, so that doubles show."""
        strategy = "" if cell.strategy == "auto" else f'strategy = "{cell.strategy}"\n'
        text = county_toml(self.address, tile_resolution=TILE_RESOLUTION).replace("connections = 8", "connections = 1")
        text = text.replace('on_repeated_key = "dissolve"\n', f'on_repeated_key = "suffix"\n{strategy}')
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{ID}.toml"
        file.write_text(text)
        return jurisdictions.read(file, FEED_TYPES)


def _undisturbed(errors: Mapping[str | None, Exception | None]) -> None:
    said = [error for error in errors.values() if error]
    if said:
        raise said[0]


async def _synced(pipeline: Pipeline, county: Jurisdiction) -> tuple[list[str], dict[str | None, Exception | None]]:
    try:
        tiles = sorted((await pipeline.find_cover(county)).tiles)
    except Exception as error:  # noqa: BLE001 - a crash is a verdict
        return [], {None: error}
    outcomes: list[Outcome] = []
    places = [Place(county.id, tile) for tile in tiles]
    await pipeline.run({county.id: county}, places, PARCELS, STAGES, outcomes.append)
    return tiles, {outcome.place.tile: outcome.error for outcome in outcomes}


def _judged(
    before: State,
    after: State,
    truths: Sequence[State],
    tiles: Sequence[str],
    errors: Mapping[str | None, Exception | None],
) -> str | None:
    """What went wrong in some tile; None where each is true, or untouched with an error."""
    faults: Counter[str] = Counter()
    for tile in sorted(set(tiles).union(before.tiles, after.tiles, *(truth.tiles for truth in truths))):
        untouched = None in errors or errors.get(tile) is not None
        wanted = [before.of(tile)] if untouched else [truth.of(tile) for truth in truths]
        found = after.of(tile)
        if found not in wanted:
            faults += min((_difference(found, each) for each in wanted), key=Counter.total)
    return ", ".join(f"{what} {count}" for what, count in sorted(faults.items())) or None


def _difference(
    found: tuple[dict[str, str], dict[int, int]], wanted: tuple[dict[str, str], dict[int, int]]
) -> Counter[str]:
    (rows, held), (true_rows, true_held) = found, wanted
    lost = len(true_rows.keys() - rows) + (Counter(true_held) - Counter(held)).total()
    doubled = len(rows.keys() - true_rows) + (Counter(held) - Counter(true_held)).total()
    changed = sum(true_rows[key] != rows[key] for key in true_rows.keys() & rows)
    return Counter({"LOST": lost, "DOUBLED": doubled, "CHANGED": changed})


def _named(cell: Cell, errors: Mapping[str | None, Exception | None]) -> str:
    """EXACT, or the refusal where it names one of the faults."""
    said = [error for error in errors.values() if error]
    words = [word.casefold() for name in cell.faults for word in FAULTS[name].words]
    for error in said:
        if isinstance(error, Defect) or not isinstance(error, ZoningError):
            return f"CRASHED: {type(error).__name__}: {error}"
        if not any(word in str(error).casefold() for word in words):
            return f"UNNAMED: {error}"
    return f"{REFUSED}: {getattr(said[0], 'what', '')}" if said else EXACT


def _short(params: Mapping[str, str]) -> str:
    return " ".join(f"{name}={text[:60]}" for name, text in sorted(params.items()) if name != "f")


@contextmanager
def _copy(server: str, source: str) -> Iterator[str]:
    """A copy of the database `source` while the block runs; its URL."""
    name = f"chaos_{os.getpid()}_{next(_NUMBER)}"
    maintenance = urlsplit(server)._replace(path="/postgres").geturl()
    names = {"name": sql.Identifier(name), "source": sql.Identifier(urlsplit(source).path[1:])}
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy").format(**names))
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))


def _numbers() -> Iterator[int]:
    yield from range(1_000_000)


_NUMBER = _numbers()


def _state(url: str) -> State:
    with psycopg.connect(url) as connection:
        parcels = connection.execute("SELECT parcel_id, tile, content_hash FROM zoning.parcel").fetchall()
        held: list[tuple[Any, ...]] = connection.execute(
            "SELECT tile, (raw -> 'attributes' ->> 'OBJECTID')::float::int FROM zoning.rejection WHERE state = 'open'"
        ).fetchall()
    return State({key: (tile, content) for key, tile, content in parcels}, Counter(held))
