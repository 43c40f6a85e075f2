"""One cell of the chaos matrix: a county behind a lying portal, harvested for real; then, what became of the rows.

A cell ends well in two ways: what is published is exactly the truth, or nothing of it was touched and the error names
the fault. The truth is what an undisturbed harvest publishes. Where the portal edits rows in between, each tile may be
as before the edit or as after it, and nothing in between. After a refusal the same run is made once more from an honest
portal, and must end in the truth.
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

from benchmarks.states import State, difference, keep, set_back, state_of
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
#: What a feed's `strategy` may be.
STRATEGIES = ("auto", "offset", "ranges", "ids", "area")

EXACT, REFUSED = "exact", "refused"
_NEW, _PUBLISHED = "kept_new", "kept_published"
T = TypeVar("T")
Edit = tuple[str, bool]
#: Each tile's error, None where there is none; the cover's error stands under None.
Errors = Mapping[str | None, Exception | None]


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

    @property
    def edits(self) -> list[Edit]:
        return [edit for name in self.faults if (edit := edit_of(name))]


@dataclass(frozen=True)
class Verdict:
    """How a cell ended. `what` begins with EXACT or REFUSED, or says in capitals what went wrong."""

    cell: Cell
    what: str
    applied: Mapping[str, int]
    errors: Sequence[str]
    log: Sequence[str] = field(repr=False)  # what was asked, in order

    @property
    def word(self) -> str:
        """The first word of `what`."""
        return self.what.partition(":")[0].partition(" ")[0]

    def __str__(self) -> str:
        return f"{self.cell}: {self.what}; {dict(self.applied)}"


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
    """Harvests cell after cell on one event loop, from one portal, into one database that is set back each time, and
    into a store of its own.

    What undisturbed harvests normalized and validated lies in each store already: pages that come as they are, by
    whatever detour, need not be worked on again.
    """

    def __init__(self, empty: str, folder: Path, pool: Pool) -> None:
        """`empty`: a migrated database to copy, on a server whose user may create databases."""
        self.empty, self.folder, self.pool = empty, folder, pool
        self.releases = CountyReleases(PARCELS_IN_ALL, page_rows=PAGE_ROWS)
        self.portal = county_portal(self.releases)
        self._truths: dict[tuple[int, Edit | None], State] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._runner = stack.enter_context(asyncio.Runner())
            serving = self.portal.running()
            self.address = self._runner.run(serving.__aenter__())
            stack.callback(lambda: self._runner.run(serving.__aexit__(None, None, None)))
            self.database = stack.enter_context(_copy(self.empty))
            keep(self.database, _NEW)
            first = self.folder / "published"
            _undisturbed(self._harvest(Cell(()), self.releases(1), None, first)[1])
            keep(self.database, _PUBLISHED)
            self._truths[1, None] = state_of(self.database)
            self._keep_tables(first)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def verdict(self, cell: Cell) -> Verdict:
        """Harvest once under the cell's faults, and where that is refused, once more without."""
        release = 2 if cell.published else 1
        chaos = Chaos(cell.faults, cell.seed)
        truths = [self.truth(release), *(self.truth(release, edit) for edit in cell.edits)]
        folder = self._place(published=cell.published)
        before = state_of(self.database)
        found, errors = self._harvest(cell, self.releases(release), chaos, folder)
        what = _judged(before, state_of(self.database), truths, found, errors) or _named(cell, errors)
        if what.startswith(REFUSED):
            happened = [edit for edit in cell.edits if chaos.applied[_name_of(edit, cell)]]
            what += self._healed(cell, release, happened[0] if happened else None, folder)
        said = [f"{tile or 'cover'}: {error}" for tile, error in errors.items() if error]
        log = [f"{status} {asked.kind} {_short(asked.params)}" for asked, status in chaos.log]
        return Verdict(cell, what, chaos.applied, said, log)

    def _healed(self, cell: Cell, release: int, edit: Edit | None, folder: Path) -> str:
        """Nothing, where an honest portal's rows are published at last; else what went wrong."""
        truth, layers = self.truth(release, edit), self._layers(release, edit)
        for _ in range(2):  # the first may find out that the tiles must be looked for again
            before = state_of(self.database)
            found, errors = self._harvest(Cell((), strategy=cell.strategy), layers, None, folder)
            wrong = _judged(before, state_of(self.database), [truth], found, errors)
            if wrong or not any(errors.values()):
                break
        said = next((f"STUCK: {error}" for error in errors.values() if error), "")
        return f", then {wrong or said}" if wrong or said else ""

    def truth(self, release: int, edit: Edit | None = None) -> State:
        """What an undisturbed harvest publishes; harvested once."""
        if (release, edit) not in self._truths:
            folder = self._place(published=False)
            _undisturbed(self._harvest(Cell(()), self._layers(release, edit), None, folder)[1])
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
        """The folder for one cell; it and the database are as new, or as the first release's harvest left them."""
        folder = self.folder / "cell"
        shutil.rmtree(folder, ignore_errors=True)
        if published:
            shutil.copytree(self.folder / "published", folder)
        shutil.copytree(self.folder / "tables", folder / "store", copy_function=_link, dirs_exist_ok=True)
        set_back(self.database, _PUBLISHED if published else _NEW)
        return folder

    def _harvest(
        self, cell: Cell, layers: Sequence[ServedLayer], chaos: Chaos | None, folder: Path
    ) -> tuple[list[str], Errors]:
        """The tiles that were found, and the errors."""
        self.portal.layers, self.portal.chaos = list(layers), chaos
        objects, client = Objects(str(folder / "store")), Hurried().client
        pipeline = Pipeline(objects, self.database, folder / "scratch", self.pool, client)
        return self._runner.run(_alone(_synced(pipeline, self._county(cell, folder))))

    def _county(self, cell: Cell, folder: Path) -> Jurisdiction:
        """One connection, so that questions come in an order; repeated keys are numbered, so that doubles show."""
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


def _undisturbed(errors: Errors) -> None:
    for error in errors.values():
        if error:
            raise error


async def _alone(work: Coroutine[Any, Any, T]) -> T:
    """Work to its end, and nothing of it goes on into the next cell."""
    before = asyncio.all_tasks()
    try:
        return await work
    finally:
        left = asyncio.all_tasks() - before
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _synced(pipeline: Pipeline, county: Jurisdiction) -> tuple[list[str], Errors]:
    try:
        tiles = sorted((await pipeline.harvest(county, force=True)).tiles)
    except Exception as error:  # noqa: BLE001 - a crash is a verdict
        return [], {None: error}
    outcomes: list[Outcome] = []
    places = [Place(county.id, tile) for tile in tiles]
    await pipeline.run({county.id: county}, places, PARCELS, STAGES, outcomes.append)
    return tiles, {outcome.place.tile: outcome.error for outcome in outcomes}


def _judged(before: State, after: State, truths: Sequence[State], found: Sequence[str], errors: Errors) -> str | None:
    """What went wrong in some tile; None where each is true, or untouched with an error."""
    wrong: Counter[str] = Counter()
    for tile in sorted(set(found).union(before.tiles, after.tiles, *(truth.tiles for truth in truths))):
        untouched = None in errors or errors.get(tile) is not None
        wanted = [before.of(tile)] if untouched else [truth.of(tile) for truth in truths]
        if after.of(tile) not in wanted:
            wrong += min((difference(after.of(tile), each) for each in wanted), key=Counter.total)
    return ", ".join(f"{what} {rows}" for what, rows in sorted(wrong.items())) or None


def _named(cell: Cell, errors: Errors) -> str:
    """EXACT, or the refusal where it names one of the faults."""
    words = [word.casefold() for name in cell.faults for word in FAULTS[name].words]
    said = [error for error in errors.values() if error]
    for error in said:
        if isinstance(error, Defect) or not isinstance(error, ZoningError):
            return f"CRASHED: {type(error).__name__}: {error}"
        if not any(word in str(error).casefold() for word in words):
            return f"UNNAMED: {error}"
    return f"{REFUSED}: {getattr(said[0], 'what', '')}" if said else EXACT


def _short(params: Mapping[str, str]) -> str:
    return " ".join(f"{name}={text[:60]}" for name, text in sorted(params.items()) if name != "f")


@contextmanager
def _copy(source: str) -> Iterator[str]:
    """A copy of a database while the block runs; its URL."""
    name = f"chaos_{os.getpid()}"
    names = {"name": sql.Identifier(name), "source": sql.Identifier(urlsplit(source).path[1:])}
    with psycopg.connect(urlsplit(source)._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy").format(**names))
        try:
            yield urlsplit(source)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))
