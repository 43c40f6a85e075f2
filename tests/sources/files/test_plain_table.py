"""Tables of text without shapes: each row once, in any usual form."""

import zipfile
from pathlib import Path

import pytest

from zoning_assets.errors import FileRefused
from zoning_assets.sources.files import plain_table
from zoning_assets.sources.files.plain_table import PlainTable

TEXT = 'Lot;Owner;Größe\n001;"Ann; Co";5\n002;;\n\n003;Bob;7\n'


def found(path: Path, layer: str | None = None, named: tuple[str, ...] = ()) -> PlainTable | None:
    return plain_table.find(path, where="the table", layer=layer, into=path.parent / "into", named=named)


def rows(table: PlainTable | None) -> list[dict[str, str]]:
    assert table
    return [row for batch in table.batches() for row in batch.drop_columns(["geometry"]).to_pylist()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_all_rows_come_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    """Keys keep their zeros, empty cells are null, and names may differ in upper and lower case."""
    (tmp_path / "a.csv").write_bytes(TEXT.encode(encoding))
    table = found(tmp_path / "a.csv", named=("LOT",))
    assert rows(table) == [
        {"LOT": "001", "Owner": "Ann; Co", "Größe": "5"},
        {"LOT": "002", "Owner": None, "Größe": None},
        {"LOT": "003", "Owner": "Bob", "Größe": "7"},
    ]
    assert table
    assert table.table.rows == 3


def test_a_table_in_a_zip(tmp_path: Path) -> None:
    """The only one, or the one that the file names."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("data/assess.csv", TEXT)
        archive.writestr("readme.pdf", "%PDF")
    assert len(rows(found(tmp_path / "a.zip"))) == 3
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("assess.csv", TEXT)
        archive.writestr("codes.csv", "code,name\n1,one\n")
    with pytest.raises(FileRefused, match=r"several tables: assess\.csv, codes\.csv"):
        found(tmp_path / "b.zip")
    assert rows(found(tmp_path / "b.zip", "codes")) == [{"code": "1", "name": "one"}]


@pytest.mark.parametrize("text", ["a,b\n1,2\n3\n", 'a,b\n1,"2\n', "a,b\n1,2,3\n"])
def test_a_damaged_line_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FileRefused, match="line"):
        found(tmp_path / "a.csv")


def test_a_named_column_that_exists_twice_is_refused(tmp_path: Path) -> None:
    """Another one that exists twice is no obstacle."""
    (tmp_path / "a.csv").write_text("lot,owner,owner\n1,a,b\n")
    assert rows(found(tmp_path / "a.csv", named=("lot",))) == [{"lot": "1", "owner": "a", "owner_2": "b"}]
    with pytest.raises(FileRefused, match="several columns 'owner'"):
        found(tmp_path / "a.csv", named=("owner",))


@pytest.mark.parametrize("content", [b'{"type":"FeatureCollection","features":[]}', b"%PDF-1.4 a,b\n", b"\0\1\2"])
def test_what_is_no_table_is_left_to_others(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert found(tmp_path / "a") is None
