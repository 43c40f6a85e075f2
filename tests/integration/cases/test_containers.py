"""Files in files: what is in them is read, or named as left out, and nothing is complete while a part was not seen."""

import bz2
import io
import json
import lzma
import os
import shutil
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import inflate64
import pyogrio
import pytest
import shapely
import zstandard

from tests.integration.cases.serving_files import cell, expected, feature, keys, lot, proof, served, taken, toml
from tests.support.shared_data import case
from zoning_assets.errors import FileRefused
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.sources.files import file_reader, zip_archive
from zoning_assets.storage.object_store.raw_harvests import read_page
from zoning_assets.transform.decode import page_readers

pytestmark = pytest.mark.sampled(4)
Members = Sequence[tuple[str, bytes]]


@pytest.mark.parametrize(
    ("folder", "name", "left_out"),
    [
        ("04", "case04", None),
        ("08", "case08a", ["readme.txt"]),
        ("08", "case08b", ["Parcels.kmz"]),
        ("08", "case08c", ["metadata.zip"]),
        ("09", "case09", None),
    ],
)
def test_the_shared_cases_give_all_of_their_rows(
    pipeline: Pipeline, folder: str, name: str, left_out: list[str] | None
) -> None:
    """Each with its own jurisdiction file, through to PostGIS: twenty rows, and what was not read is named."""
    outcomes = taken(folder, pipeline, name)
    assert len(keys(pipeline, outcomes)) == 20
    assert proof(pipeline, outcomes).get("left out") == left_out
    assert outcomes[0].as_dict().get("left_out") == left_out


# GeoJSON.


def collection(*features: Any, **members: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", **members, "features": list(features)}


def lots(first: int, last: int) -> list[dict[str, Any]]:
    return [feature(number) for number in range(first, last)]


def geometry(number: int) -> dict[str, Any]:
    return dict(shapely.geometry.mapping(cell(number)))


CRS84 = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
TWENTY: dict[str, str] = {
    "a collection among features": json.dumps(collection(*lots(0, 8), collection(*lots(8, 20)))),
    "only collections": json.dumps(collection(collection(*lots(0, 8)), collection(*lots(8, 20)))),
    "three deep": json.dumps(collection(collection(collection(*lots(0, 8))), *lots(8, 20))),
    "a list among features": json.dumps(collection(*lots(0, 8), lots(8, 20))),
    "a GeometryCollection of features": json.dumps(
        collection(*lots(0, 8), {"type": "GeometryCollection", "geometries": lots(8, 20)})
    ),
    "two documents": json.dumps(collection(*lots(0, 8))) + "\n" + json.dumps(collection(*lots(8, 20))),
    "two documents without a space": json.dumps(collection(*lots(0, 8))) + json.dumps(collection(*lots(8, 20))),
    "a collection a line": "\n".join(json.dumps(collection(*lots(i, i + 4))) for i in range(0, 20, 4)),
    "a sequence of collections": "".join(
        f"\x1e{json.dumps(collection(*lots(i, i + 4)), indent=1)}\n" for i in range(0, 20, 4)
    ),
    "features and collections, a line each": "\n".join(map(json.dumps, [*lots(0, 8), collection(*lots(8, 20))])),
    "features twice in one object": json.dumps(collection(*lots(0, 8)))[:-1]
    + ', "features": '
    + json.dumps(lots(8, 20))
    + "}",
    "features behind the collection": json.dumps(collection(*lots(0, 8)))
    + ",\n"
    + ",".join(map(json.dumps, lots(8, 20))),
    "features that do not say so": json.dumps(
        collection(*lots(0, 8), *({k: v for k, v in each.items() if k != "type"} for each in lots(8, 20)))
    ),
    "type stands last": json.dumps({"features": [*lots(0, 8), {"features": lots(8, 20), "type": "FeatureCollection"}]})[
        :-1
    ]
    + ', "type": "FeatureCollection"}',
    "types that are none": json.dumps(
        collection(
            *lots(0, 8),
            *({**each, "type": kind} for kind, each in zip(([], {}, 7, None) * 3, lots(8, 20), strict=True)),
        )
    ),
    "nothing among features": json.dumps(collection(*lots(0, 8), None, *lots(8, 20))),
    "one feature, pretty": "\n".join(json.dumps(each, indent=2) for each in lots(0, 20)),
    "crs in each": json.dumps(
        collection(collection(*lots(0, 8), crs=CRS84), collection(*lots(8, 20), crs=CRS84), crs=CRS84)
    ),
    "a property called features": json.dumps(
        collection(*({**each, "properties": each["properties"] | {"features": ["pool"]}} for each in lots(0, 20)))
    ),
    "brackets and quotes in texts": json.dumps(
        collection(*lots(0, 8), collection(*lots(8, 20)), name='}]{["features": [ \\" \u00e9')
    ),
}


@pytest.mark.parametrize("name", TWENTY)
def test_every_feature_of_a_geojson_is_read_however_it_is_nested(pipeline: Pipeline, name: str) -> None:
    """GDAL alone would give 8 of these 20, or none, without a word."""
    assert keys(pipeline, served(pipeline, "a.geojson", TWENTY[name].encode())) == expected()


def test_a_bare_geometry_is_a_row_that_is_held_back(pipeline: Pipeline) -> None:
    """It has no key; it is counted, and shown as rejected."""
    body = json.dumps(collection(*lots(0, 19), geometry(19))).encode()
    outcomes = served(pipeline, "a.geojson", body)
    assert keys(pipeline, outcomes) == expected(19)
    assert (outcomes[0].counts.fetched, outcomes[0].counts.rejected) == (20, 1)


def test_a_member_that_is_no_part_of_the_layer_is_named(pipeline: Pipeline) -> None:
    """Another collection under a name of its own is another layer."""
    body = json.dumps(collection(*lots(0, 20), zoning=collection(feature(3)), bbox=[0, 0, 1, 1], crs=CRS84)).encode()
    outcomes = served(pipeline, "a.geojson", body)
    assert keys(pipeline, outcomes) == expected()
    assert proof(pipeline, outcomes)["left out"] == ["member zoning"]


FEET = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2249"}}
REFUSED = {
    "cut in a nested collection": (json.dumps(collection(*lots(0, 8), collection(*lots(8, 20))))[:-400], "damaged"),
    "cut in the second document": (
        json.dumps(collection(*lots(0, 8))) + json.dumps(collection(*lots(8, 20)))[:-60],
        "damaged",
    ),
    "two systems": (
        json.dumps(collection(collection(*lots(0, 8), crs=CRS84), collection(*lots(8, 20), crs=FEET))),
        "several coordinate systems",
    ),
    "one with and one without a system": (
        json.dumps(collection(*lots(0, 8), crs=FEET)) + json.dumps(collection(*lots(8, 20))),
        "several coordinate systems",
    ),
    "layers under names": (
        json.dumps({"parcels": collection(*lots(0, 8)), "zoning": collection(*lots(8, 20))}),
        "no features of its own, but 'parcels', 'zoning'|without features",
    ),
    "a feature of features": (json.dumps(collection({**feature(0), "features": lots(1, 20)})), "holds features"),
    "words behind it": (json.dumps(collection(*lots(0, 20))) + "<html>", "damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_geojson_of_which_a_part_cannot_be_read_is_refused(pipeline: Pipeline, name: str) -> None:
    """In a line; nothing of it is published."""
    text, match = REFUSED[name]
    with pytest.raises(FileRefused, match=match):
        served(pipeline, "a.geojson", text.encode())


# Zips.


def table(first: int = 0, last: int = 20) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(
        [lot(i) for i in range(first, last)], geometry=[cell(i) for i in range(first, last)], crs=4326
    )


def shapefile(folder: Path, stem: str = "Parcels", first: int = 0, last: int = 20) -> Members:
    """The members of a shapefile."""
    folder.mkdir(parents=True, exist_ok=True)
    pyogrio.write_dataframe(table(first, last), folder / f"{stem}.shp")
    return [(path.name, path.read_bytes()) for path in sorted(folder.glob(f"{stem}.*"))]


def zipped(members: Members, method: int = zipfile.ZIP_DEFLATED, below: str = "") -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, body in members:
            entry = zipfile.ZipInfo(below + name)
            entry.filename = entry.orig_filename = below + name
            entry.compress_type = method
            archive.writestr(entry, body)
    return sink.getvalue()


def _by_deflate64(body: bytes) -> bytes:
    deflater = inflate64.Deflater()
    return bytes(deflater.deflate(body) + deflater.flush())


PACKED: Mapping[int, Callable[[bytes], bytes]] = {
    9: _by_deflate64,
    93: lambda body: zstandard.ZstdCompressor().compress(body),
    95: lzma.compress,
}


def repacked(members: Members, method: int) -> bytes:
    """A zip of a method that the standard library does not write: stored, then called what it is."""
    packed = [(name, PACKED[method](body), body) for name, body in members]
    archive = bytearray(zipped([(name, body) for name, body, _ in packed], zipfile.ZIP_STORED))
    for mark, kind, sums in ((b"PK\3\4", 8, 14), (b"PK\1\2", 10, 16)):
        at = 0
        for _, _, plain in packed:
            at = archive.index(mark, at)
            struct.pack_into("<H", archive, at + kind, method)
            struct.pack_into("<I", archive, at + sums, zlib.crc32(plain))
            struct.pack_into("<I", archive, at + sums + 8, len(plain))
            at += 4
    return bytes(archive)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 9, 93, 95])
def test_every_usual_method_is_unpacked(pipeline: Pipeline, tmp_path: Path, method: int) -> None:
    """Also those that the standard library does not know, or does not bound."""
    members = shapefile(tmp_path)
    body = repacked(members, method) if method in PACKED else zipped(members, method)
    assert keys(pipeline, served(pipeline, "a.zip", body)) == expected()


@pytest.mark.parametrize("method", [9, 93, 95])
def test_a_damaged_member_of_any_method_is_found_out(tmp_path: Path, method: int) -> None:
    """Its sum, or its method itself, tells."""
    body = bytearray(repacked([("a", bytes(range(256)) * 40)], method))
    body[60] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(body)
    with pytest.raises(FileRefused, match=r"damaged|shorter than declared|beyond what it declares"):
        zip_archive.unpack(tmp_path / "a.zip", tmp_path / "into", where="the feed", most_bytes=1 << 20)
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 9, 93, 95])
def test_a_bomb_of_any_method_is_stopped_while_it_is_unpacked(tmp_path: Path, method: int) -> None:
    """It declares ten bytes and holds 64 MB: no more than the first piece of it is ever there."""
    bomb = bytes(64 << 20)
    body = bytearray(repacked([("a", bomb)], method) if method in PACKED else zipped([("a", bomb)], method))
    for mark, at in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        struct.pack_into("<I", body, body.index(mark) + at, 10)
    (tmp_path / "a.zip").write_bytes(body)
    with pytest.raises(FileRefused, match="beyond what it declares"):
        zip_archive.unpack(tmp_path / "a.zip", tmp_path / "into", where="the feed", most_bytes=100)


def test_a_method_that_is_not_read_is_named(pipeline: Pipeline, tmp_path: Path) -> None:
    """In words that mend it."""
    body = bytearray(zipped([("Parcels.shp", b"x")], zipfile.ZIP_STORED))
    for mark, at in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        struct.pack_into("<H", body, body.index(mark) + at, 6)
    with pytest.raises(FileRefused, match=r"'Parcels.shp' is packed with Implode, .*ask the publisher"):
        served(pipeline, "a.zip", bytes(body))


@pytest.mark.parametrize("below", ["Download\\Parcels\\", "Download\\Parcels/", ".\\", "a b\\ü\\"])
def test_backslashes_separate_folders(pipeline: Pipeline, tmp_path: Path, below: str) -> None:
    """As .NET and PowerShell write them, with folders of their own, and mixed."""
    members = [*shapefile(tmp_path), ("", b"")]
    assert keys(pipeline, served(pipeline, "a.zip", zipped(members, below=below))) == expected()


@pytest.mark.parametrize("name", ["..\\a", "x\\..\\..\\a", "\\a", "\\\\host\\share\\a", "C:\\a", "c:a", "x/..\\..\\a"])
def test_backslashes_climb_nowhere(pipeline: Pipeline, tmp_path: Path, name: str) -> None:
    """Translated, a path is judged as any other."""
    with pytest.raises(FileRefused, match="has a path outside its folder"):
        served(pipeline, "a.zip", zipped([*shapefile(tmp_path), (name, b"1")]))
    assert not (tmp_path.parent / "a").exists()


def test_two_names_that_become_one_are_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    """`x\\a` and `x/a`."""
    with pytest.raises(FileRefused, match="two members named 'x/a'"):
        served(pipeline, "a.zip", zipped([*shapefile(tmp_path), ("x\\a", b"1"), ("x/a", b"2")]))


@pytest.mark.parametrize("flagged", [True, False])
def test_a_name_beyond_ascii_is_found_as_it_is_written(pipeline: Pipeline, tmp_path: Path, flagged: bool) -> None:
    """UTF-8 with and without its flag (macOS), in letters and their accents apart."""
    members = [("Pen\u0303a" + name[7:], body) for name, body in shapefile(tmp_path)]
    body = zipped(members)
    if not flagged:
        for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            body = b"".join(
                part if not i else mark + part[: at - 4] + b"\0\0" + part[at - 2 :]
                for i, part in enumerate(body.split(mark))
            )
    more = 'layer = "Peña"'
    assert keys(pipeline, served(pipeline, "a.zip", body, more=more)) == expected()


# Zips in zips, and what lies beside a layer.


@pytest.mark.parametrize(
    ("inner", "beside"),
    [
        ("Parcels.zip", []),
        ("data/2026/PARCELS.ZIP", [("readme.pdf", b"%PDF")]),
        ("Parcels.shp.zip", [("a/b.xml", b"<a/>")]),
    ],
)
def test_a_zip_in_a_zip_is_unpacked_once(pipeline: Pipeline, tmp_path: Path, inner: str, beside: Members) -> None:
    """Where nothing lies open beside it; with the same bounds."""
    body = zipped([(inner, zipped(shapefile(tmp_path), below="Parcels/")), *beside])
    outcomes = served(pipeline, "a.zip", body)
    assert keys(pipeline, outcomes) == expected()
    assert proof(pipeline, outcomes).get("left out", []) == [name for name, _ in beside]


def test_a_kmz_in_a_zip_is_read(pipeline: Pipeline, tmp_path: Path) -> None:
    """A KMZ is a zip too."""
    pyogrio.write_dataframe(table(), tmp_path / "doc.kml", driver="LIBKML")
    kmz = zipped([("doc.kml", (tmp_path / "doc.kml").read_bytes()), ("files/icon.png", b"\x89PNG")])
    outcomes = served(pipeline, "a.zip", zipped([("Parcels.kmz", kmz)]))
    assert keys(pipeline, outcomes) == expected()
    assert proof(pipeline, outcomes)["left out"] == ["Parcels.kmz/files/icon.png"]


def test_a_zip_in_a_zip_in_a_zip_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    """One level is what cities do; the message says so."""
    body = zipped([("b.zip", zipped([("c.zip", zipped(shapefile(tmp_path)))]))])
    with pytest.raises(FileRefused, match=r"no layer that can be read, only: b.zip/c.zip; .*no deeper"):
        served(pipeline, "a.zip", body)


def test_two_halves_in_two_zips_are_not_taken_for_one_whole(pipeline: Pipeline, tmp_path: Path) -> None:
    """Refused with their names; each can be chosen, and the other one is named as left out."""
    north, south = (
        zipped(shapefile(tmp_path / "n", first=0, last=8)),
        zipped(shapefile(tmp_path / "s", first=8, last=20)),
    )
    body = zipped([("North.zip", north), ("South.zip", south)])
    with pytest.raises(
        FileRefused, match=r"2 layers may hold polygons; .*'North.zip/Parcels.shp', 'South.zip/Parcels.shp'"
    ):
        served(pipeline, "a.zip", body)
    outcomes = served(pipeline, "a.zip", body, more='layer = "South.zip/Parcels"')
    assert keys(pipeline, outcomes) == expected()[8:]
    assert "North.zip/Parcels.shp" in proof(pipeline, outcomes)["left out"]


def test_inner_zips_are_bounded_together(tmp_path: Path) -> None:
    """Each alone would fit."""
    inner = [zipped([(name, bytes(600_000))]) for name in ("a.bin", "b.bin")]
    (tmp_path / "a.zip").write_bytes(zipped([("1.zip", inner[0]), ("2.zip", inner[1])]))
    with pytest.raises(FileRefused, match=r"2\.zip: the zip expands to 600,000 bytes; at most"):
        file_reader.find_layer(
            tmp_path / "a.zip", where="the feed", layer=None, into=tmp_path / "into", most_bytes=1_000_000
        )


def test_a_bomb_within_a_zip_is_measured_by_what_was_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two zips of 200-fold each would be 40,000-fold."""
    monkeypatch.setattr(zip_archive, "FREE_BYTES", 1 << 20)
    inner = zipped([("a.bin", bytes(20 << 20))])
    (tmp_path / "a.zip").write_bytes(zipped([("in.zip", inner)]))
    with pytest.raises(FileRefused, match="-fold; at most 300-fold is allowed"):
        file_reader.find_layer(tmp_path / "a.zip", where="the feed", layer=None, into=tmp_path / "into")


@pytest.mark.parametrize("damage", ["cut", "encrypted"])
def test_an_inner_zip_that_cannot_be_opened_is_refused_by_name(pipeline: Pipeline, tmp_path: Path, damage: str) -> None:
    """Nothing is complete while it was not looked at."""
    good, bad = zipped(shapefile(tmp_path)), bytearray(zipped(shapefile(tmp_path / "b", "Other")))
    if damage == "cut":
        bad = bad[: len(bad) // 2]
    else:
        bad[6] |= 1
        bad[bad.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(FileRefused, match=r"Bad\.zip: the zip"):
        served(pipeline, "a.zip", zipped([("Parcels.zip", good), ("Bad.zip", bytes(bad))]))


def test_what_lies_beside_a_layer_is_left_alone_and_named(pipeline: Pipeline, tmp_path: Path) -> None:
    """A map, a table without shapes, an archive nobody can open; what machines write for themselves is no news."""
    beside = [
        ("Parcels.shp.xml", b"<metadata/>"),
        ("__MACOSX/._Parcels.shp", b"\0\5\x16\7"),
        ("._Parcels.dbf", b"\0\5\x16\7"),
        ("Data dictionary.csv", b"column,meaning\nPIN,key\n"),
        ("Map.pdf", b"%PDF-1.4"),
        ("old.7z", b"7z\xbc\xaf\x27\x1c"),
        ("damaged.zip", b"PK\3\4 and no more"),
    ]
    outcomes = served(pipeline, "a.zip", zipped([*shapefile(tmp_path), *beside]))
    assert keys(pipeline, outcomes) == expected()
    assert proof(pipeline, outcomes)["left out"] == ["Data dictionary.csv", "Map.pdf", "damaged.zip", "old.7z"]


@pytest.mark.parametrize("layer", ["Parcels_2", "PARCELS_2.shp"])
def test_one_layer_in_two_files_is_not_read_by_half(pipeline: Pipeline, tmp_path: Path, layer: str) -> None:
    """Which is meant, or that both are, is not guessed: refused with the key that chooses."""
    body = zipped([*shapefile(tmp_path, "Parcels_1", 0, 8), *shapefile(tmp_path, "Parcels_2", 8, 20)])
    with pytest.raises(
        FileRefused, match="2 layers may hold polygons; there are: 'Parcels_1', 'Parcels_2'; name one as `layer`"
    ):
        served(pipeline, "a.zip", body)
    outcomes = served(pipeline, "a.zip", body, more=f'layer = "{layer}"')
    assert keys(pipeline, outcomes) == expected()[8:]
    assert [name for name in proof(pipeline, outcomes)["left out"] if name.endswith(".shp")] == ["Parcels_1.shp"]


@pytest.mark.parametrize("suffix", ["shp", "geojson"])
def test_another_layer_of_the_same_zip_is_another_layer(pipeline: Pipeline, tmp_path: Path, suffix: str) -> None:
    """Of the same name in another folder, chosen after the first one was harvested from the same download: what is kept
    of the one is not taken for the other."""
    members = []
    for name, first in (("north", 0), ("south", 10)):
        if suffix == "shp":
            members += [(f"{name}/{part}", body) for part, body in shapefile(tmp_path / name, "P", first, first + 10)]
        else:
            members.append((f"{name}/P.geojson", json.dumps(collection(*lots(first, first + 10))).encode()))
    body = zipped(members)
    for layer, found in (("north/P", expected()[:10]), ("south/P", expected()[10:]), ("north/P", expected()[:10])):
        outcomes = served(pipeline, "a.zip", body, more=f'layer = "{layer}"')
        assert outcomes[0].error is None or "key_turnover" in str(outcomes[0].error)
        read = [row for page in outcomes[0].harvest.pages for row in page_keys(pipeline, outcomes[0].harvest, page)]
        assert sorted(read) == found


def page_keys(pipeline: Pipeline, harvest: Any, page: Any) -> list[str]:
    """The keys of a raw page."""
    return [
        row["PIN"]
        for row in page_readers.READERS[harvest.form](read_page(pipeline.objects, harvest, page), {}).attributes
    ]


@pytest.mark.parametrize("suffix", ["gpkg", "gdb"])
def test_other_layers_of_a_file_are_named(pipeline: Pipeline, tmp_path: Path, suffix: str) -> None:
    """Two layers of polygons: one is chosen; points beside one are left alone."""
    path = tmp_path / f"a.{suffix}"
    driver = {"driver": "OpenFileGDB"} if suffix == "gdb" else {}
    pyogrio.write_dataframe(table(), path, layer="parcels", **driver)
    points = table(0, 4)
    points.geometry = points.geometry.representative_point()
    pyogrio.write_dataframe(points, path, layer="addresses", append=True, **driver)
    body = path.read_bytes() if suffix == "gpkg" else _folder(path)
    outcomes = served(pipeline, "a.gpkg" if suffix == "gpkg" else "a.zip", body)
    assert keys(pipeline, outcomes) == expected()
    assert proof(pipeline, outcomes)["left out"] == ["layer addresses"]


def _folder(path: Path) -> bytes:
    made = shutil.make_archive(str(path.with_suffix("")), "zip", path.parent, path.name)
    return Path(made).read_bytes()


def test_a_damaged_layer_beside_the_one_that_is_named_is_no_obstacle(pipeline: Pipeline, tmp_path: Path) -> None:
    """Without a name, it might be the one that is meant: refused."""
    body = zipped([*shapefile(tmp_path), ("old.geojson", json.dumps(collection(*lots(0, 8)))[:-99].encode())])
    with pytest.raises(FileRefused, match="damaged"):
        served(pipeline, "a.zip", body)
    outcomes = served(pipeline, "a.zip", body, more='layer = "Parcels"')
    assert keys(pipeline, outcomes) == expected()
    assert proof(pipeline, outcomes)["left out"] == ["old.geojson"]


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07\x01\x00", "a RAR archive"),
        (b"\x1f\x8b\x08\x00", "a gzip"),
        (bz2.compress(b"x"), "a bzip2"),
        (lzma.compress(b"x"), "an xz"),
        (bytes(257) + b"ustar\x0000" + bytes(248), "a tar archive"),
    ],
)
def test_an_archive_that_is_not_read_is_named_with_a_way_out(pipeline: Pipeline, body: bytes, match: str) -> None:
    """What it is, and what to do."""
    with pytest.raises(FileRefused, match=f"the file is {match}.*; ask the publisher for a zip, or unpack it"):
        served(pipeline, "parcels.shp", body)


def test_a_link_in_a_zip_stays_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    """Whatever else is read by now."""
    sink = io.BytesIO(zipped(shapefile(tmp_path)))
    with zipfile.ZipFile(sink, "a") as archive:
        entry = zipfile.ZipInfo("link.shp")
        entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(FileRefused, match="is a link"):
        served(pipeline, "a.zip", sink.getvalue())


def test_the_zip64_form_is_read(pipeline: Pipeline, tmp_path: Path) -> None:
    """As zips over 4 GB are written, and by some programs every zip."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in shapefile(tmp_path):
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(body)
    assert keys(pipeline, served(pipeline, "a.zip", sink.getvalue())) == expected()


def test_the_shared_case_is_read_below_a_folder_too(pipeline: Pipeline) -> None:
    """Case 09 in a zip of its own: Deflate64 within deflate."""
    body = zipped([("Download/case09.zip", case("09/case09.zip").read_bytes())])
    assert len(keys(pipeline, served(pipeline, "a.zip", body))) == 20


@pytest.mark.slow
def test_the_sync_says_in_json_what_was_left_out(tmp_path: Path, database: str) -> None:
    """`zoning sync --json`, through Dagster: twenty rows, and the names of what was not read."""
    body = zipped([*shapefile(tmp_path / "shp"), ("Map.pdf", b"%PDF-1.4"), ("old.zip", zipped([("a.txt", b"a")]))])
    folder = tmp_path / "jurisdictions"
    folder.mkdir()
    (folder / "a.zip").write_bytes(body)
    (folder / "us-xx-mine.toml").write_text(toml("a.zip"))
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ZONING_HOME": str(tmp_path / "home"),
        "DAGSTER_HOME": str(tmp_path / "home" / "dagster"),
        "ZONING_JURISDICTIONS": str(folder),
        "ZONING_DATABASE_URL": database,
    }
    command = [sys.executable, "-m", "zoning_assets.cli", "sync", "us-xx-mine", "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [report] = json.loads(done.stdout)["harvests"]
    assert (report["added"], report["left_out"]) == (20, ["Map.pdf", "old.zip"])
