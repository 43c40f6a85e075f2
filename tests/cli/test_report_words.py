"""`zoning report` as a person or a script uses it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.conftest import Zoning
from tests.support.changed_county import ChangedCounty
from zoning_assets.simulation.county.county import ID

DAY = datetime.now(UTC).date().isoformat()


@pytest.fixture
def county(
    zoning: Zoning, published_county: ChangedCounty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ChangedCounty:
    monkeypatch.setenv("ZONING_DATABASE_URL", published_county.url)
    monkeypatch.setenv("ZONING_STORE_URL", str(published_county.store))
    (tmp_path / "jurisdictions" / published_county.file.name).write_text(published_county.file.read_text())
    monkeypatch.chdir(tmp_path)
    return published_county


def test_a_file_and_the_numbers(zoning: Zoning, county: ChangedCounty, tmp_path: Path) -> None:
    """Without options a file with the name of the period; with --json the numbers, and a file only on request."""
    status, out, err = zoning("report", ID, "--from", DAY, "--to", DAY)
    (file,) = tmp_path.glob("report-*")
    assert (status, file.name) == (0, f"report-{ID}-{DAY}-{DAY}.html")
    assert f"{ID}, {DAY} to {DAY}:" in out
    assert file.name in err
    assert file.read_text().startswith("<!doctype html>")
    status, out, _ = zoning("report", ID, "--from", DAY, "--to", DAY, "--json")
    numbers = json.loads(out)
    assert numbers["period"] == {"first_day": DAY, "last_day": DAY}
    assert len(list(tmp_path.glob("report-*"))) == 1
    other = tmp_path / "other.html"
    assert zoning("report", ID, "--from", DAY, "--to", DAY, "--json", "--output", str(other))[0] == 0
    assert f"<strong>{numbers['changes']['total']}</strong>" in other.read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((ID, "--from", "yesterday", "--to", DAY), "'yesterday' is not a day"),
        ((ID, "--from", DAY, "--to", "2026-02-30"), "'2026-02-30' is not a day"),
        ((ID, "--from", DAY, "--to", "9999-12-31"), "'9999-12-31' is not a day"),
        ((ID, "--from", DAY, "--to", "2020-01-01"), "ends before it begins"),
        ((ID, "--from", DAY), "Missing option '--to'"),
        ((ID, "--from", DAY, "--to", DAY, "--format", "docx"), "'docx' is not a format"),
        ((ID, "--from", DAY, "--to", DAY, "--output", "/nonesuch/x.html"), "cannot be written"),
        (("us-xx-nonesuch", "--from", DAY, "--to", DAY), "it was never published"),
    ],
)
def test_what_is_wrong_is_one_line(zoning: Zoning, county: ChangedCounty, words: tuple[str, ...], says: str) -> None:
    status, out, err = zoning("report", *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err
