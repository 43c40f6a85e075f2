"""CSV that a spreadsheet opens: no cell of it runs, numbers stay numbers."""

import csv
from io import StringIO

import pytest

from zoning_assets.cli.display import csv_rows


@pytest.mark.parametrize("hostile", ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "\t=1", "\r\n=1"])
def test_a_cell_is_no_formula(hostile: str) -> None:
    """Whatever a portal calls its parcels and codes."""
    assert csv_rows.safe(hostile).startswith("'")


@pytest.mark.parametrize("value", ["R-1", "01-00024", "", None, -1.5, 7])
def test_what_is_no_formula_stays(value: object) -> None:
    assert csv_rows.safe(value) == value


def test_a_row_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Commas and quotes are quoted, and a line break in a value makes no row."""
    csv_rows.write(("id", "code"), [{"id": 'a,"b', "code": "=x\ny"}])
    assert list(csv.reader(StringIO(capsys.readouterr().out))) == [["id", "code"], ['a,"b', "'=x y"]]
