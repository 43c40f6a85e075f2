"""One cell of the chaos matrix: harvest a county from a faulty portal, then check the rows.

There are two correct results: the published rows are exactly the true ones, or no row changed and the error names the
fault. The true rows are those that a harvest without faults publishes. If the portal edits rows during the harvest,
each tile may be as before or as after the edit, and nothing else. After an error the same run is made again without
faults, and must publish the true rows.
"""

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from benchmarks.states import DatabaseState, difference, restore, save, state_of
from zoning_assets import jurisdictions
from zoning_assets.errors import Defect, ZoningError
from zoning_assets.http import Http
from zoning_assets.model import NORMALIZED, PARCELS, VALIDATED, Jurisdiction, Outcome, Place
from zoning_assets.pipeline.pipeline import STAGES, Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.simulation.chaos import FAULTS, Chaos
from zoning_assets.simulation.chaos.edits import edited
from zoning_assets.simulation.chaos.faults import edit_of
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal import CountyReleases, county_portal
from zoning_assets.simulation.portal.served_layer import ServedLayer
from zoning_assets.sources import FEED_TYPES
from zoning_assets.storage.object_store.object_store import Objects

PARCELS_IN_ALL, PAGE_ROWS, TILE_RESOLUTION = 300, 100, 6
#: The values of a feed's `strategy`.
STRATEGIES = ("auto", "offset", "ranges", "ids", "area")

EXACT, REFUSED = "exact", "refused"
_NEW, _PUBLISHED = "kept_new", "kept_published"
T = TypeVar("T")
Edit = tuple[str, bool]
#: The error of each tile, or None; the key None is the error of the harvest.
Errors = Mapping[str | None, Exception | None]


@dataclass(frozen=True)
class Cell:
    """Faults and the circumstances of a harvest.

    Attributes:
        faults: their names.
        seed: of the faults.
        strategy: of the feed.
        published: whether the county was published before.
    """

    faults: tuple[str, ...]
    seed: int = 0
    strategy: str = "auto"
    published: bool = False

    def __str__(self) -> str:
        before = ", published before" if self.published else ""
        return f"{' + '.join(self.faults) or 'nothing'}, seed {self.seed}, {self.strategy}{before}"

    @property
    def edits(self) -> list[Edit]:
        return [edit for name in self.faults if (edit := edit_of(name))]


@dataclass(frozen=True)
class CellResult:
    """The result of a cell. `what` begins with EXACT or REFUSED, or with a word in capitals for an incorrect result."""

    cell: Cell
    what: str
    applied: Mapping[str, int]
    errors: Sequence[str]
    log: Sequence[str] = field(repr=False)  # the requests, in order

    @property
    def word(self) -> str:
        """The first word of `what`."""
        return self.what.partition(":")[0].partition(" ")[0]

    def __str__(self) -> str:
        return f"{self.cell}: {self.what}; {dict(self.applied)}"


class FastClock:
    """A clock that a sleep moves forward at once."""

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
    """Harvests cell after cell on one event loop, from one portal, into one database that is restored before each cell,
    and into an object store of its own.

    Each store already has the normalized and validated tables of harvests without faults, so that unchanged pages need
    not be processed again.
    """

    def __init__(self, empty: str, folder: Path, pool: Pool) -> None:
        """`empty`: a migrated database to copy, on a server whose user may create databases."""
        self.empty, self.folder, self.pool = empty, folder, pool
        self.releases = CountyReleases(PARCELS_IN_ALL, page_rows=PAGE_ROWS)
        self.portal = county_portal(self.releases)
        self._truths: dict[tuple[int, Edit | None], DatabaseState] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._runner = stack.enter_context(asyncio.Runner())
            serving = self.portal.running()
            self.address = self._runner.run(serving.__aenter__())
            stack.callback(lambda: self._runner.run(serving.__aexit__(None, None, None)))
            self.database = stack.enter_context(_copy(self.empty))
            save(self.database, _NEW)
            first = self.folder / "published"
            _raise_errors(self._harvest(Cell(()), self.releases(1), None, first)[1])
            save(self.database, _PUBLISHED)
            self._truths[1, None] = state_of(self.database)
            self._keep_tables(first)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def verdict(self, cell: Cell) -> CellResult:
        """Harvest with the faults of the cell; after an error, harvest again without faults."""
        release = 2 if cell.published else 1
        chaos = Chaos(cell.faults, cell.seed)
        truths = [self.truth(release), *(self.truth(release, edit) for edit in cell.edits)]
        folder = self._place(published=cell.published)
        before = state_of(self.database)
        found, errors = self._harvest(cell, self.releases(release), chaos, folder)
        what = _wrong_tiles(before, state_of(self.database), truths, found, errors) or _result_of(cell, errors)
        if what.startswith(REFUSED):
            happened = [edit for edit in cell.edits if chaos.applied[_name_of(edit, cell)]]
            what += self._after_retry(cell, release, happened[0] if happened else None, folder)
        messages = [f"{tile or 'cover'}: {error}" for tile, error in errors.items() if error]
        log = [f"{status} {request.kind} {_short(request.params)}" for request, status in chaos.log]
        return CellResult(cell, what, chaos.applied, messages, log)

    def _after_retry(self, cell: Cell, release: int, edit: Edit | None, folder: Path) -> str:
        """Empty if a portal without faults leads to the true rows; else what is wrong."""
        truth, layers = self.truth(release, edit), self._layers(release, edit)
        for _ in range(2):  # the first may find that the tiles are stale
            before = state_of(self.database)
            found, errors = self._harvest(Cell((), strategy=cell.strategy), layers, None, folder)
            wrong = _wrong_tiles(before, state_of(self.database), [truth], found, errors)
            if wrong or not any(errors.values()):
                break
        stuck = next((f"STUCK: {error}" for error in errors.values() if error), "")
        return f", then {wrong or stuck}" if wrong or stuck else ""

    def truth(self, release: int, edit: Edit | None = None) -> DatabaseState:
        """The rows that a harvest without faults publishes; harvested once."""
        if (release, edit) not in self._truths:
            folder = self._place(published=False)
            _raise_errors(self._harvest(Cell(()), self._layers(release, edit), None, folder)[1])
            self._truths[release, edit] = state_of(self.database)
            self._keep_tables(folder)
        return self._truths[release, edit]

    def _layers(self, release: int, edit: Edit | None) -> list[ServedLayer]:
        first, *rest = self.releases(release)
        return [edited(first, edit[0], stamped=edit[1]) if edit else first, *rest]

    def _keep_tables(self, folder: Path) -> None:
        for stage in (NORMALIZED, VALIDATED):
            source = folder / "store" / stage
            shutil.copytree(source, self.folder / "tables" / stage, copy_function=_link, dirs_exist_ok=True)

    def _place(self, *, published: bool) -> Path:
        """Prepare the folder of a cell and the database: empty, or as after the harvest of the first release."""
        folder = self.folder / "cell"
        shutil.rmtree(folder, ignore_errors=True)
        if published:
            shutil.copytree(self.folder / "published", folder)
        shutil.copytree(self.folder / "tables", folder / "store", copy_function=_link, dirs_exist_ok=True)
        restore(self.database, _PUBLISHED if published else _NEW)
        return folder

    def _harvest(
        self, cell: Cell, layers: Sequence[ServedLayer], chaos: Chaos | None, folder: Path
    ) -> tuple[list[str], Errors]:
        """Harvest; return the tiles and the errors."""
        self.portal.layers, self.portal.chaos = list(layers), chaos
        objects, client = Objects(str(folder / "store")), FastClock().client
        pipeline = Pipeline(objects, self.database, folder / "scratch", self.pool, client)
        return self._runner.run(_run_alone(_sync(pipeline, self._county(cell, folder))))

    def _county(self, cell: Cell, folder: Path) -> Jurisdiction:
        """One connection, so that requests have an order; repeated keys get a suffix, so that doubled rows are
        found."""
        text = county_toml(self.address, tile_resolution=TILE_RESOLUTION).replace("connections = 8", "connections = 1")
        policy = f'on_repeated_key = "suffix"\nstrategy = "{cell.strategy}"\n'
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{ID}.toml"
        file.write_text(text.replace('on_repeated_key = "dissolve"\n', policy))
        return jurisdictions.read(file, FEED_TYPES)


def _link(source: str, target: str) -> None:
    if not Path(target).exists():
        os.link(source, target)


def _name_of(edit: Edit, cell: Cell) -> str:
    return next(name for name in cell.faults if edit_of(name) == edit)


def _raise_errors(errors: Errors) -> None:
    for error in errors.values():
        if error:
            raise error


async def _run_alone(work: Coroutine[Any, Any, T]) -> T:
    """Wait for a coroutine, then cancel its remaining tasks, so that none continues in the next cell."""
    before = asyncio.all_tasks()
    try:
        return await work
    finally:
        left = asyncio.all_tasks() - before
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _sync(pipeline: Pipeline, county: Jurisdiction) -> tuple[list[str], Errors]:
    try:
        tiles = sorted((await pipeline.harvest(county, force=True)).tiles)
    except Exception as error:  # noqa: BLE001 - a crash is a result
        return [], {None: error}
    outcomes: list[Outcome] = []
    places = [Place(county.id, tile) for tile in tiles]
    await pipeline.run({county.id: county}, places, PARCELS, STAGES, outcomes.append)
    return tiles, {outcome.place.tile: outcome.error for outcome in outcomes}


def _wrong_tiles(
    before: DatabaseState, after: DatabaseState, truths: Sequence[DatabaseState], found: Sequence[str], errors: Errors
) -> str | None:
    """What is wrong in the tiles; None if each is true, or unchanged with an error."""
    wrong: Counter[str] = Counter()
    for tile in sorted(set(found).union(before.tiles, after.tiles, *(truth.tiles for truth in truths))):
        untouched = None in errors or errors.get(tile) is not None
        wanted = [before.of(tile)] if untouched else [truth.of(tile) for truth in truths]
        if after.of(tile) not in wanted:
            wrong += min((difference(after.of(tile), each) for each in wanted), key=Counter.total)
    return ", ".join(f"{what} {rows}" for what, rows in sorted(wrong.items())) or None


def _result_of(cell: Cell, errors: Errors) -> str:
    """EXACT; REFUSED if the error names one of the faults."""
    words = [word.casefold() for name in cell.faults for word in FAULTS[name].words]
    raised = [error for error in errors.values() if error]
    for error in raised:
        if isinstance(error, Defect) or not isinstance(error, ZoningError):
            return f"CRASHED: {type(error).__name__}: {error}"
        if not any(word in str(error).casefold() for word in words):
            return f"UNNAMED: {error}"
    return f"{REFUSED}: {getattr(raised[0], 'what', '')}" if raised else EXACT


def _short(params: Mapping[str, str]) -> str:
    return " ".join(f"{name}={text[:60]}" for name, text in sorted(params.items()) if name != "f")


@contextmanager
def _copy(source: str) -> Iterator[str]:
    """Yield the URL of a copy of a database; it is dropped at the end."""
    name = f"chaos_{os.getpid()}"
    names = {"name": sql.Identifier(name), "source": sql.Identifier(urlsplit(source).path[1:])}
    with psycopg.connect(urlsplit(source)._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy").format(**names))
        try:
            yield urlsplit(source)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))
