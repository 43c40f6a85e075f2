"""What every command's end has in common: one document whatever happened, and a line for each error."""

import json
from collections.abc import Iterator

import pytest
import typer

from zoning_assets.cli import signals
from zoning_assets.cli.display import output
from zoning_assets.errors import StoreError
from zoning_assets.model import CHANGE_KINDS
from zoning_assets.transform.changes import parcel_lineage, zoning_changes


def _rows(error: BaseException | None) -> Iterator[dict[str, int]]:
    yield {"n": 1}
    yield {"n": 2}
    if error:
        raise error


def test_a_stream_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    output.streamed({"total": 2, "shown": 2}, "changes", _rows(None))
    assert json.loads(capsys.readouterr().out) == {"total": 2, "shown": 2, "changes": [{"n": 1}, {"n": 2}]}
    output.streamed({"total": 0}, "changes", [])
    assert json.loads(capsys.readouterr().out) == {"total": 0, "changes": []}


@pytest.mark.parametrize(
    ("error", "says", "status"),
    [
        (StoreError('it "ended"', where="the database", do="wait"), 'the database: it "ended"; wait', 1),
        (KeyboardInterrupt(), signals.STOPPED, 130),
    ],
)
def test_a_stream_that_breaks_off_is_a_document_that_says_so(
    capsys: pytest.CaptureFixture[str], error: BaseException, says: str, status: int
) -> None:
    """Never half a document: what came before stands in it, and why it is not all."""
    with pytest.raises(typer.Exit) as ended:
        output.streamed({"total": 9}, "changes", _rows(error))
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document == {"total": 9, "changes": [{"n": 1}, {"n": 2}], "error": says, "exit_status": status}
    assert (ended.value.exit_code, said.err) == (status, f"zoning: {says}\n")


def test_errors_stand_at_the_top_and_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """The first in the document, each once on stderr; and a thousand of them do not fill the screen."""
    with pytest.raises(typer.Exit):
        output.finish({"harvests": []}, ["a: it failed; wait", "b: it failed; wait", "a: it failed; wait"])
    said = capsys.readouterr()
    assert json.loads(said.out) == {"harvests": [], "error": "a: it failed; wait (and 1 more)", "exit_status": 1}
    assert said.err == "zoning: a: it failed; wait\nzoning: b: it failed; wait\n"
    with pytest.raises(typer.Exit):
        output.finish(None, [f"{number}: it failed" for number in range(1000)])
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) < 30
    output.finish({"harvests": []}, [])
    assert json.loads(capsys.readouterr().out) == {"harvests": []}


def test_every_kind_of_change_can_be_asked_for() -> None:
    of_zoning = {
        zoning_changes.REZONED,
        zoning_changes.PARTLY,
        zoning_changes.RECODED,
        zoning_changes.REDRAWN,
        zoning_changes.ZONED,
        zoning_changes.UNZONED,
    }
    of_facets = {
        f"{facet}_{deed}" for facet in ("overlay", "condition", "pud") for deed in ("added", "removed", "changed")
    }
    of_parcels = {
        parcel_lineage.RENUMBERED, parcel_lineage.SPLIT, parcel_lineage.MERGED, parcel_lineage.REPLATTED,
        parcel_lineage.ADJUSTED, parcel_lineage.RESHAPED,
        parcel_lineage.ADDED, parcel_lineage.RETIRED,
    }  # fmt: skip
    assert set(CHANGE_KINDS) == of_zoning | of_facets | of_parcels | {"reverted", "reinstated"}
