"""Large GeoJSON is read piece by piece; where a piece ends changes nothing."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from zoning_assets.errors import FileRefused
from zoning_assets.sources.files.geojson import geojson_flatten, json_chunks, json_repair

GUID = "{6F9619FF-8B86-D011-B42D-00C04FC964FF}"
#: Texts in which brackets, quotes and backslashes stand.
NOTES = [GUID, '}]{"[', "C:\\{", '\\"{', ""]


def text_of(number: int, height: str, note: str) -> str:
    ring = ",".join(f"[{x},{y}{height}]" for x, y in ((0, 0), (0, 1), (1, 1), (0, 0)))
    properties = json.dumps({"PIN": 12345678901234567890123 + number, "ID": note, "N": f"[1,2,null]{note}"})
    shape = f'{{"type":"Polygon","coordinates":[[{ring}]]}}'
    return f'{{"type":"Feature","properties":{properties},"geometry":{shape}}}'


def collection_of(parts: list[str]) -> str:
    return f'{{"type":"FeatureCollection","features":[{",".join(parts)}]}}'


def test_null_heights_are_left_out_wherever_a_piece_ends(tmp_path: Path) -> None:
    """Positions lose them, texts stay, and long numbers become texts."""
    rows = [(number, ",null", note) for number, note in enumerate(NOTES)]
    path = tmp_path / "a.geojson"
    path.write_text(collection_of([text_of(*row) for row in rows]))
    right = json.loads(collection_of([text_of(number, "", note) for number, _, note in rows]))
    for feature in right["features"]:
        feature["properties"]["PIN"] = str(feature["properties"]["PIN"])
    for size in range(1, path.stat().st_size + 1):
        found = json_repair.ready(path, tmp_path / str(size), (), piece_bytes=size)
        assert json.loads(found.read_bytes()) == right, size


def test_a_nul_does_not_join_a_backslash_to_the_end_of_its_text(tmp_path: Path) -> None:
    """The text ends where it ends, and what stands behind it is read."""
    path = tmp_path / "a.geojson"
    path.write_bytes(collection_of([text_of(1, ",null", "C:_")]).encode().replace(b"_", b"\\\0"))
    found = json.loads(json_repair.ready(path, tmp_path / "into", ()).read_bytes())
    assert found["features"][0]["properties"]["ID"] == "C:\\"
    assert found["features"][0]["geometry"]["coordinates"][0][1] == [0, 1]


@pytest.mark.parametrize("note", NOTES)
def test_nested_features_are_found_wherever_a_piece_ends(tmp_path: Path, note: str) -> None:
    """Brackets in a text are no structure, also where the text is cut."""
    features = [text_of(number, "", note) for number in range(3)]
    path = tmp_path / "a.geojson"
    path.write_text(collection_of([collection_of(features[:1]), *features[1:]])[:-1] + ',"extent":[0, 1]}')
    for size in range(1, path.stat().st_size + 1):
        flat = geojson_flatten.flatten(path, tmp_path / f"{size}.geojson", "w", piece_bytes=size)
        found: Any = json.loads((tmp_path / f"{size}.geojson").read_bytes())
        assert found["features"] == [json.loads(each) for each in features], size
        assert (flat.features, list(flat.members)) == (3, []), size


@pytest.mark.parametrize("end", ['"', '"{', '"\\', '"\\"'])
def test_a_text_without_an_end_is_refused(tmp_path: Path, end: str) -> None:
    """The file is damaged, however long the text is."""
    path = tmp_path / "a.geojson"
    path.write_text(collection_of([collection_of([text_of(1, "", GUID)])])[:-2] + f",{end}")
    for size in (1, 7, 1 << 20):
        with pytest.raises(FileRefused, match="damaged"):
            geojson_flatten.flatten(path, tmp_path / "b.geojson", "w", piece_bytes=size)


@pytest.mark.parametrize("letters", [b"\\", b'\\"', b"{"])
def test_a_text_without_an_end_is_gone_through_once(letters: bytes) -> None:
    """Pieces end behind an escape, with one more byte at most, and make up the whole."""
    body = b'{"a":"' + letters * 999
    found = list(json_chunks.pieces(io.BytesIO(body), 10))
    assert b"".join(found) == body
    assert max(map(len, found)) <= 11


def test_what_a_copy_holds_depends_on_the_columns_that_are_named(tmp_path: Path) -> None:
    """A copy made for other columns is not taken for this one."""
    path = tmp_path / "a.geojson"
    feature = text_of(0, "", "").replace("{", '{"id":7,', 1)
    path.write_text(collection_of([feature]))
    plain, named = (json_repair.ready(path, tmp_path / "into", columns) for columns in ((), ("id",)))
    assert [json.loads(each.read_bytes())["features"][0]["id"] for each in (plain, named)] == [7, "7"]
    assert json_repair.ready(path, tmp_path / "into", ("id",)) == named
    assert named.name == path.name
