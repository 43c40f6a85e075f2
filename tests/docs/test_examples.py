"""The examples of the documentation give results on a published county: each query, each cell of each notebook."""

import json
import re
from pathlib import Path

import psycopg
import pytest

from tests.support.changed_county import ChangedCounty

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = sorted((DOCS / "examples").glob("*.ipynb"))
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    """The blocks of docs/how-to/query.md in a language."""
    text = (DOCS / "how-to" / "query.md").read_text(encoding="utf-8")
    return [body for name, body in FENCED.findall(text) if name == language]


@pytest.mark.parametrize("number", range(len(blocks("sql"))))
def test_each_query_has_a_result(published_county: ChangedCounty, number: int) -> None:
    with psycopg.connect(published_county.url) as connection:
        assert connection.execute(blocks("sql")[number].encode()).fetchall()


@pytest.fixture
def here(published_county: ChangedCounty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, where connect() finds the published county."""
    monkeypatch.setenv("ZONING_DATABASE_URL", published_county.url)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_example(here: Path) -> None:
    (body,) = blocks("python")
    names: dict[str, object] = {}
    exec(body, names)  # noqa: S102 - the example of the documentation
    assert len(names["rezoned"])  # type: ignore[arg-type]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_each_cell_of_each_notebook_runs(here: Path, published_county: ChangedCounty, notebook: Path) -> None:
    """In order, in one namespace, as a kernel does; the file that the last cell writes has the rezonings."""
    document = json.loads(notebook.read_text(encoding="utf-8"))
    assert (document["nbformat"], document["nbformat_minor"]) >= (4, 5)
    names: dict[str, object] = {}
    for cell in document["cells"]:
        assert not cell.get("outputs"), "a notebook is kept without outputs"
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)  # noqa: S102 - the cells of the documentation
    truth = published_county.truth.truth
    assert truth is not None
    assert set(names["differ"]["parcel_id"]) >= set(truth.rezoned)  # type: ignore[index]
    assert (here / "rezoned.gpkg").stat().st_size > 0
    assert [each.name for each in NOTEBOOKS] == ["rezonings.ipynb"]
