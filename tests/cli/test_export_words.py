"""`zoning export`: its options, its report, its errors."""

import json
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from tests.cli.conftest import Zoning
from tests.storage.postgis.filled import SMALL, fill
from zoning_assets.cli import bench_export, export
from zoning_assets.exports.formats import FORMATS
from zoning_assets.exports.layers import LAYERS


@pytest.fixture
def exporting(zoning: Zoning, database: str, monkeypatch: pytest.MonkeyPatch) -> Zoning:
    """A county in the database, without a file."""
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    with psycopg.connect(database) as connection:
        fill(connection, SMALL)
    return zoning


def test_the_choices_are_the_layers_and_the_formats() -> None:
    assert [each.value for each in export.Layer] == list(LAYERS)
    assert [each.value for each in export.Format] == list(FORMATS)


def test_the_report(exporting: Zoning, tmp_path: Path) -> None:
    words = ("export", SMALL.id, "--layer", "parcels", "--format", "csv", "--to", str(tmp_path / "out.csv"))
    status, out, err = exporting(*words, "--json")
    told = json.loads(out)
    assert status == 0
    assert (told["path"], told["rows"], told["area_m2"]) == (str(tmp_path / "out.csv"), 1000, 400_000.0)
    assert told["written"] is True
    assert len(told["content_hash"]) == 64
    status, out, err = exporting(*words)
    assert status == 0
    assert out.startswith(f"{tmp_path / 'out.csv'}: 1,000 rows, 400,000 m2, EPSG:4326")
    assert "nothing changed since it was written" in err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("us-xx-nowhere",), 2, "never published"),
        ((SMALL.id, "--layer", "streets"), 2, "'streets' is not one of"),
        ((SMALL.id, "--format", "kml"), 2, "'kml' is not one of"),
        ((SMALL.id, "--as-of", "yesterday"), 2, "is not a time"),
        ((SMALL.id, "--where", "area_m2 > 'x'"), 2, "it is a number"),
        ((SMALL.id, "--to", "ftp://host/x"), 2, "not supported"),
        ((SMALL.id, "--to", "/proc/nowhere"), 2, "--to"),
    ],
)
def test_wrong_usage_is_one_line(exporting: Zoning, words: tuple[str, ...], status: int, message: str) -> None:
    found, out, err = exporting("export", *words)
    assert (found, out) == (status, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("faults", [[], ["csv, zoning: 999 of 1,000 rows"]])
def test_a_file_that_lacks_rows_fails_the_bench(
    zoning: Zoning, monkeypatch: pytest.MonkeyPatch, faults: list[str]
) -> None:
    figure = {"format": "csv", "contestant": "zoning", "parcels": 1000, "rows": 1000, "seconds": 1.0, "cpu_s": 1.0}
    figures = [{**figure, "peak_bytes": 7 * 10**6, "file_bytes": 10**6}]
    asked: list[object] = []

    def measure(*options: object) -> dict[str, object]:
        asked.extend(options[:2])
        return {"figures": figures, "left_out": {"pmtiles": "no driver"}, "faults": faults}

    monkeypatch.setattr(bench_export, "load", lambda _: SimpleNamespace(measure=measure))
    monkeypatch.setattr(bench_export, "server", lambda: "postgresql://server")
    status, out, err = zoning("bench", "export", "--parcels", "1000", "--format", "csv")
    assert (status, asked) == (len(faults), [[1000], ["csv"]])
    assert "csv" in out
    assert "ogr2ogr, pmtiles: no driver" in err
