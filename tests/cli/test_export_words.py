"""`zoning export`: its options, its report, its errors."""

import json
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import Zoning
from tests.storage.postgis.filled import SMALL, fill
from zoning_assets.cli import export
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
