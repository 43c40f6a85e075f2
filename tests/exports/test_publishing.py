"""A published file is always whole: who is killed, or writes at the same time, never leaves half of one."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pyarrow.parquet as pq
import pytest

from tests.conftest import rows
from tests.exports.conftest import ID, LOTS, WIDE, Town
from tests.support.waiting import until
from zoning_assets.errors import Defect, MachineRefused, NothingFound, SettingInvalid, StoreError
from zoning_assets.exports import layer_export, row_reader
from zoning_assets.exports.export_target import open_target, sha256
from zoning_assets.exports.formats import FORMATS
from zoning_assets.exports.layer_export import ExportPlace
from zoning_assets.exports.layers import LAYERS
from zoning_assets.exports.row_reader import ExportRequest, opened
from zoning_assets.storage.postgis.database import as_role

#: Exports as `zoning export` does, and stops for good in the middle of the file.
_STOPS = """
import sys, time
from dataclasses import replace
from pathlib import Path
from zoning_assets.exports import layer_export
from zoning_assets.exports.layers import LAYERS
from zoning_assets.exports.row_reader import ExportRequest

def half(path, rows):
    path.write_bytes(b"half a file")
    print("half", flush=True)
    time.sleep(600)

layer_export.FORMATS = {"csv": replace(layer_export.FORMATS["csv"], write=half)}
url, home = sys.argv[1:]
place = layer_export.ExportPlace(Path(home))
layer_export.export(url, ExportRequest("us-xx-squares", LAYERS["parcels"]), "csv", place, None)
"""
_READING = """
    SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()
"""


def listed(path: str) -> list[str]:
    """The names beside a published file."""
    return sorted(each.name for each in Path(path).parent.iterdir())


def test_the_description_tells_what_is_in_the_file(town: Town, tmp_path: Path) -> None:
    result = town.export("csv", to=str(tmp_path))
    assert listed(result.path) == [f"{ID}-zoned_parcels.csv", f"{ID}-zoned_parcels.csv.json"]
    told = json.loads(Path(f"{result.path}.json").read_bytes())
    assert told == result.description
    assert (told["rows"], told["crs"], told["licence"]) == (LOTS, "EPSG:4326", "CC0-1.0")
    assert told["sha256"] == sha256(Path(result.path))
    assert told["bytes"] == Path(result.path).stat().st_size
    assert set(told["source"]) == {"parcels", "zoning"}
    assert datetime.fromisoformat(told["time"]).tzinfo is not None


@pytest.mark.parametrize("format_", FORMATS)
def test_what_did_not_change_is_not_written_again(town: Town, tmp_path: Path, format_: str) -> None:
    first = town.export(format_, "districts", to=str(tmp_path))
    before = Path(first.path).stat().st_mtime_ns
    again = town.export(format_, "districts", to=str(tmp_path))
    assert (first.written, again.written) == (True, False)
    assert Path(first.path).stat().st_mtime_ns == before
    assert again.description == first.description


def test_a_file_that_is_not_as_described_is_written_again(town: Town, tmp_path: Path) -> None:
    path = Path(town.export("csv", to=str(tmp_path)).path)
    whole = path.read_bytes()
    for spoil in (
        lambda: path.write_bytes(whole[:-5]),
        path.unlink,
        Path(f"{path}.json").unlink,
        lambda: Path(f"{path}.json").write_text("no json"),
        lambda: Path(f"{path}.json").write_text("[]"),
    ):
        spoil()
        assert town.export("csv", to=str(tmp_path)).written
        assert path.read_bytes() == whole


def test_a_changed_row_changes_the_hash_of_its_layer_only(town: Town, tmp_path: Path) -> None:
    hashes = {layer: town.export("csv", layer, to=str(tmp_path)).description["content_hash"] for layer in LAYERS}
    with psycopg.connect(town.url) as connection:
        connection.execute("UPDATE zoning.parcel_zoning SET code = 'X' WHERE parcel_id = 'P0'")
    try:
        after = {layer: town.export("csv", layer, to=str(tmp_path)) for layer in LAYERS}
        assert [layer for layer, each in after.items() if each.written] == ["zoned_parcels"]
        assert {layer for layer, each in after.items() if each.description["content_hash"] != hashes[layer]} == {
            "zoned_parcels"
        }
    finally:
        with psycopg.connect(town.url) as connection:
            connection.execute("UPDATE zoning.parcel_zoning SET code = 'C-1' WHERE parcel_id = 'P0'")


def test_as_of_a_time_and_as_of_a_day(town: Town) -> None:
    """Between the two maps six rows of lots were zoned otherwise; before the first publish there was nothing."""
    ((first,), (second,)) = rows(
        town.url, "SELECT DISTINCT started FROM zoning.batch WHERE feed = 'parcel_zoning' ORDER BY 1"
    )
    c_1 = "zoning_code = 'C-1'"
    assert town.export(where=c_1).description["rows"] == 10 * WIDE
    assert town.export(where=c_1, system=second).description["rows"] == 10 * WIDE
    then = town.export(where=c_1, system=first)
    assert (then.description["rows"], then.description["as_of"]) == (4 * WIDE, first.isoformat())
    assert town.export(system=first - timedelta(days=1)).description["rows"] == 0
    assert town.export(legal=date(2020, 1, 1)).description["rows"] == 0
    assert town.export(legal=datetime.now(UTC).date()).description["rows"] == LOTS
    assert town.export(layer="districts", system=first).description["rows"] == LOTS
    assert town.export(layer="changes", system=first).description["rows"] == 0
    paths = [town.export(system=first).path, town.export().path, town.export(where=c_1).path]
    assert len(set(paths)) == 3, "another day or filter is another file"


def test_a_killed_writer_leaves_the_published_file(town: Town, tmp_path: Path) -> None:
    """Its draft is removed by the next writer, who need not wait for it."""
    place = ExportPlace(tmp_path)
    request = ExportRequest(ID, LAYERS["parcels"])
    path = Path(layer_export.export(town.url, request, "csv", place, town.described).path)
    whole = path.read_bytes()
    with subprocess.Popen(
        [sys.executable, "-c", _STOPS, town.url, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "half\n"
        os.kill(child.pid, signal.SIGKILL)
    assert path.read_bytes() == whole
    assert len([name for name in listed(str(path)) if name.endswith(".draft")]) == 1
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    until(lambda: rows(town.url, waiting) == [(0,)], "the lock of the killed process ends")
    assert not layer_export.export(town.url, request, "csv", place, town.described).written
    assert listed(str(path)) == [path.name, f"{path.name}.json"]


def test_two_writers_of_one_file_and_a_reader(town: Town, tmp_path: Path) -> None:
    """The reader finds one of the two files, whole, at any moment; the description is that of the last one."""
    to = str(tmp_path / "lots.parquet")
    filters = {"zoning_code = 'C-1'": 10 * WIDE, "zoning_code = 'R-1'": LOTS - 10 * WIDE}
    errors: list[BaseException] = []
    seen: set[int] = set()

    def write(text: str) -> None:
        try:
            for _ in range(4):
                town.export(where=text, to=to)
        except BaseException as error:  # noqa: BLE001 - reported by the test
            errors.append(error)

    threads = [threading.Thread(target=write, args=[text]) for text in filters]
    town.export(where=next(iter(filters)), to=to)
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with Path(to).open("rb") as file:
            seen.add(len(pq.read_table(file)))
    assert errors == []
    assert seen <= set(filters.values())
    told = json.loads(Path(f"{to}.json").read_bytes())
    assert told["sha256"] == sha256(Path(to))
    assert told["rows"] == filters[told["where"]]
    assert listed(to) == ["lots.parquet", "lots.parquet.json"]


def test_a_file_that_lacks_a_row_is_not_published(town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fewer(path: Path, stream: object) -> dict[str, object]:
        path.write_text("area_m2\n1.0\n")
        return {}

    monkeypatch.setattr(layer_export, "FORMATS", {"csv": replace(FORMATS["csv"], write=fewer)})
    with pytest.raises(Defect, match="the file has 1 rows"):
        town.export("csv", to=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_database_in_the_middle_is_reported_as_one(town: Town, tmp_path: Path) -> None:
    """GDAL reads the rows; what stops them is the database's error, and nothing is left."""
    request = ExportRequest(ID, LAYERS["parcels"])

    def write() -> None:
        with opened(town.url, request) as stream:
            owner = as_role(town.url, None)
            ((pid,),) = rows(owner, _READING)
            rows(owner, "SELECT pg_terminate_backend(%s, 10000)", pid)
            FORMATS["geopackage"].write(tmp_path / "x.gpkg", stream)

    with pytest.raises(StoreError):
        write()


def test_rows_are_read_without_the_right_to_write(town: Town) -> None:
    with psycopg.connect(town.url) as connection:
        row_reader._become_reader(connection)
        assert connection.execute("SELECT current_user").fetchone() == ("zoning_reader",)


def test_nothing_published_is_an_error_and_no_changes_are_not(town: Town, tmp_path: Path) -> None:
    place = ExportPlace(tmp_path)
    with pytest.raises(NothingFound, match="no published parcels"):
        layer_export.export(town.url, ExportRequest("us-xx-other", LAYERS["parcels"]), "csv", place, None)
    none = layer_export.export(town.url, ExportRequest("us-xx-other", LAYERS["changes"]), "csv", place, None)
    assert (none.written, none.description["rows"]) == (True, 0)


@pytest.mark.parametrize("format_", FORMATS)
def test_an_empty_layer_is_a_whole_file(town: Town, tmp_path: Path, format_: str) -> None:
    """Only tiles need a shape."""
    if format_ == "pmtiles":
        with pytest.raises(NothingFound, match="no row has a shape"):
            town.export(format_, where="zoning_code = 'none'", to=str(tmp_path))
        return
    assert town.export(format_, where="zoning_code = 'none'", to=str(tmp_path)).description["rows"] == 0


@pytest.mark.parametrize(
    ("to", "path"),
    [
        (None, "/home/exports/x/x-parcels.csv"),
        ("/a/folder", "/a/folder/x-parcels.csv"),
        ("/a/mine.csv", "/a/mine.csv"),
        ("file:///a/mine.csv", "/a/mine.csv"),
        ("s3://bucket/some/prefix", "s3://bucket/some/prefix/x-parcels.csv"),
        ("s3://bucket/prefix/mine.csv", "s3://bucket/prefix/mine.csv"),
        ("gs://bucket", "gs://bucket/x-parcels.csv"),
    ],
)
def test_where_an_export_goes(tmp_path: Path, to: str | None, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    given = to and to.replace("/a/", f"{tmp_path}/a/") if to and not to.startswith(("s3", "gs")) else to
    target = open_target(given, tmp_path / "home/exports/x", "x-parcels.csv", ".csv")
    assert target.path == (path if "://" in path else f"{tmp_path}{path}")


def test_drafts_of_objects_are_deleted_and_those_of_another_url_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are on this machine: a killed process must not fill its disk."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    one, other = (open_target(f"s3://{name}/x.csv", tmp_path, "x.csv", ".csv") for name in ("one", "other"))
    with one.draft(tmp_path) as killed, other.draft(tmp_path) as running:
        one.delete_drafts(tmp_path)
        assert (killed.parent.exists(), running.parent.exists()) == (False, True)


def test_one_folder_has_one_lock(tmp_path: Path) -> None:
    """However it is spelled: another process would delete the draft of the first one."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    spelled = [f"{tmp_path}/a/x.csv", f"{tmp_path}/a/b/../x.csv", f"{tmp_path}/link/x.csv"]
    assert len({open_target(each, tmp_path, "x.csv", ".csv").path for each in spelled}) == 1


def test_an_unknown_format_is_told(town: Town) -> None:
    with pytest.raises(SettingInvalid, match="'gpkg' is not a format of exports; choose one of: geoparquet"):
        town.export("gpkg")


@pytest.mark.parametrize(("free", "error"), [(0, MachineRefused), (1 << 40, RuntimeError)])
def test_a_full_disk_is_told(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, error: type[Exception]
) -> None:
    """GDAL does not say why it cannot write."""

    def full(path: Path, stream: object) -> dict[str, object]:
        raise RuntimeError("cannot write")

    monkeypatch.setattr(layer_export, "FORMATS", {"csv": replace(FORMATS["csv"], write=full)})
    monkeypatch.setattr(layer_export.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(error):
        town.export("csv", to=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to", ["", "a\x00b", "ftp://host/folder", "/proc/nowhere/x", "s3://["])
def test_where_it_cannot_go_is_told(to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingInvalid, match="--to"):
        open_target(to, tmp_path, "x.csv", ".csv")
