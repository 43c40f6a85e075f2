"""Whatever a portal does: exactly its rows are published, or nothing is touched and the error says why (promise 1)."""

import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from benchmarks.cells import EXACT, REFUSED, STRATEGIES, Cell, CellResult, Matrix
from benchmarks.chaos import is_correct
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.simulation.chaos import FATAL, FAULTS, PASSING, mixtures
from zoning_assets.simulation.chaos.faults import outcome_of


@pytest.fixture(scope="module")
def matrix(server: str, template: str, pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    empty = urlsplit(server)._replace(path=f"/{template}").geturl()
    with Matrix(empty, tmp_path_factory.mktemp(f"chaos_{uuid.uuid4().hex[:8]}"), pool) as matrix:
        yield matrix


def endings(verdict: CellResult) -> set[str]:
    """How this cell may end. A strategy that is prescribed may fail where another would not."""
    cell = verdict.cell
    line = all(name in _LINE for name in cell.faults)
    if outcome_of(cell.faults) == FATAL:
        return (
            {REFUSED}
            if any(verdict.applied[n] for n in cell.faults if FAULTS[n].outcome == FATAL)
            else {EXACT, REFUSED}
        )
    return {EXACT} if outcome_of(cell.faults) == PASSING and (cell.strategy == "auto" or line) else {EXACT, REFUSED}


_LINE = list(FAULTS)[list(FAULTS).index("slow") :]


def check(matrix: Matrix, cell: Cell) -> CellResult:
    verdict = matrix.verdict(cell)
    assert verdict.word in endings(verdict), "\n".join([str(verdict), *verdict.errors, *verdict.log[-40:]])
    assert is_correct(verdict.what), verdict
    return verdict


def test_the_yardstick_is_the_county(matrix: Matrix) -> None:
    """What an undisturbed harvest publishes is what the county says of itself."""
    county, truth = matrix.releases.county(1), matrix.truth(1)
    assert len(truth.parcels) == county.parcels_by_policy()["suffix"]
    assert len(truth.parcels) + sum(truth.held.values()) == len(county.parcels)
    assert len(truth.tiles) > 1


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", list(FAULTS))
def test_each_fault_alone(matrix: Matrix, name: str) -> None:
    """One fault, and it does bite; every other county was published before."""
    published = list(FAULTS).index(name) % 2 == 1
    verdict = check(matrix, Cell((name,), 1, published=published))
    assert verdict.applied[name] > 0 or FAULTS[name].avoidable


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    ("number", "names"),
    [pytest.param(n, names, id=f"{n}-{'+'.join(names)}") for n, names in enumerate(mixtures(7, 20))],
)
def test_some_mixtures(matrix: Matrix, number: int, names: tuple[str, ...]) -> None:
    """Two to four faults at once."""
    check(matrix, Cell(names, number, published=number % 2 == 1))


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        ("offset", "cap_unsaid"),
        ("offset", "no_paging"),
        ("ranges", "offset_ignored"),
        ("ranges", "ids_ignored"),
        ("ids", "ids_capped"),
        ("ids", "list_ignored"),
        ("area", "count_ignored"),
        ("area", "rows_dropped"),
    ],
)
def test_a_prescribed_strategy(matrix: Matrix, strategy: str, name: str) -> None:
    """The strategy of the file and no other, met by what it can or cannot bear; --all tries every fault."""
    check(matrix, Cell((name,), 2, strategy))


@pytest.mark.parametrize(
    "cell",
    [
        Cell(("ids_ignored", "count_ignored"), 3, "area"),
        Cell(("statistics_wrong", "all_capped"), 35, "area", published=True),
    ],
    ids=str,
)
def test_no_walk_by_area_forgets_the_rows_without_a_place(matrix: Matrix, cell: Cell) -> None:
    """No area meets them: where the server states no number of rows, or fewer than came, its statistics do, or nothing
    is believed."""
    check(matrix, cell)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("published", [False, True], ids=["new", "published"])
def test_each_fault_by_each_strategy(matrix: Matrix, strategy: str, *, published: bool) -> None:
    """Every fault alone against every strategy: no silent loss, no double, every refusal says why."""
    cells = [Cell((name,), 2, strategy, published=published) for name in FAULTS]
    assert not wrong(matrix, cells)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_200_mixtures_by_each_strategy(matrix: Matrix, strategy: str) -> None:
    """200 seeded mixtures against every strategy: no silent loss, no double, every refusal says why."""
    mixed = list(enumerate(mixtures(11, 200)))
    cells = [Cell(names, number, strategy, published=number % 2 == 1) for number, names in mixed]
    assert not wrong(matrix, cells)


def wrong(matrix: Matrix, cells: list[Cell]) -> list[str]:
    """The cells that end as none may."""
    verdicts = [matrix.verdict(cell) for cell in cells]
    return [str(each) for each in verdicts if each.word not in endings(each) or not is_correct(each.what)]
