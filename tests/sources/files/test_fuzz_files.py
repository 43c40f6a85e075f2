"""Mutated files end as rows or as one line that says why not: no crash, no hang, no memory without bound."""

import select
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources.files.test_file_reader import table
from tests.support.sampling import examples
from tests.support.shared_data import cambridge

_LONGEST_S = 10.0
_ROWS = 12


class Reader:
    """A process that reads files, one after another; started anew when it dies."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def read(self, path: Path) -> str:
        """What came of a file: see fuzz_child, or `died` or `hangs`."""
        if self.process is None:
            command = [sys.executable, "-m", "tests.sources.files.fuzz_child"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            self.process = subprocess.Popen(command, text=True, bufsize=1, **pipes)
            self._answer(path, 120)  # its imports take a while on a busy machine
        return self._answer(path, _LONGEST_S)

    def _answer(self, path: Path, longest_s: float) -> str:
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{path}\n")
        ready, _, _ = select.select([self.process.stdout], [], [], longest_s)
        line = self.process.stdout.readline().strip() if ready else "hangs"
        return line if line and line != "hangs" else self.end(line or "died")

    def end(self, why: str = "") -> str:
        """End the process; why, and its last words."""
        if self.process is not None:
            self.process.kill()
            _, words = self.process.communicate()
            why = f"{why} ({self.process.returncode}): {words[-600:]}"
            self.process = None
        return why


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    started = Reader()
    yield started
    started.end()


def _lots() -> gpd.GeoDataFrame:
    """A few real lots of Cambridge, in degrees."""
    try:
        return gpd.read_file(cambridge() / "parcels_FY2014_4326.geojson", rows=_ROWS)
    except pytest.skip.Exception:
        return table(_ROWS).to_crs(4326)


def _written(suffix: str, **options: Any) -> Callable[[gpd.GeoDataFrame, Path], Path]:
    def write(lots: gpd.GeoDataFrame, folder: Path) -> Path:
        path = folder / f"lots{suffix}"
        pyogrio.write_dataframe(lots, path, **options)
        return path

    return write


def _csv(lots: gpd.GeoDataFrame, folder: Path) -> Path:
    lots.assign(the_geom=lots.geometry.to_wkt()).drop(columns="geometry").to_csv(folder / "lots.csv", index=False)
    return folder / "lots.csv"


def _parquet(lots: gpd.GeoDataFrame, folder: Path) -> Path:
    lots.to_parquet(folder / "lots.parquet")
    return folder / "lots.parquet"


WRITERS: Mapping[str, Callable[[gpd.GeoDataFrame, Path], Path]] = {
    "geojson": _written(".geojson"),
    "geojsonl": _written(".geojsonl", driver="GeoJSONSeq"),
    "shapefile": _written(".shp"),
    "gpkg": _written(".gpkg"),
    "gdb": _written(".gdb", driver="OpenFileGDB"),
    "fgb": _written(".fgb"),
    "kml": _written(".kml", driver="LIBKML"),
    "csv": _csv,
    "parquet": _parquet,
}


@cache
def files_of(name: str, folder: Path) -> dict[str, bytes]:
    """The files of a format, by name: one, or those that a zip would hold."""
    below = folder / name
    below.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        WRITERS[name](_lots(), below)
    return {str(path.relative_to(below)): path.read_bytes() for path in sorted(below.rglob("*")) if path.is_file()}


_NUMBERS = (
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\0",
    b"\x80\0\0\0",
    b"-1",
    b"1e999",
    b"NaN",
)
_WORDS = (b"[" * 3000, b"<a>" * 3000, b'"', b"}", b"\xed\xa0\x80", b"null", b"/etc/passwd", b"&lt;", b",,,\n", b"(((")

#: (how, where in thousandths of the file, with what)
CHANGE = st.tuples(
    st.sampled_from(["put", "insert", "cut", "end", "twice"]),
    st.integers(0, 1000),
    st.one_of(st.sampled_from(_NUMBERS + _WORDS), st.binary(min_size=1, max_size=12)),
)


def changed(body: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    """The bytes, changed."""
    for how, where, what in changes:
        at = len(body) * where // 1000
        body = {
            "put": body[:at] + what + body[at + len(what) :],
            "insert": body[:at] + what + body[at:],
            "cut": body[:at] + body[at + len(what) :],
            "end": body[: max(at, 1)],
            "twice": body[:at] + body[at : at + 400] + body[at:],
        }[how]
    return body


def try_one(reader: Reader, folder: Path, name: str, part: int, changes: list[tuple[str, int, bytes]]) -> None:
    """One mutated file through the reader."""
    whole = files_of(name, folder)
    names = sorted(whole)
    target = names[part % len(names)]
    mutated = whole | {target: changed(whole[target], changes)}
    path = folder / "mutated"
    if len(mutated) == 1:
        path.write_bytes(mutated[target])
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for each, body in mutated.items():
                archive.writestr(each, body)
    said = reader.read(path)
    if not said.startswith(("rows ", "refused: ")):
        kept = folder / f"found-{name}"
        kept.write_bytes(path.read_bytes())
        pytest.fail(f"{name}, {target}: {said}; kept as {kept}")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", WRITERS)
def test_an_unchanged_file_gives_its_rows(reader, tmp_path_factory, name):
    """The yardstick of the tests below: without a change, all rows are there."""
    folder = tmp_path_factory.mktemp("plain")
    whole = files_of(name, folder)
    path = folder / "whole.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for each, body in whole.items():
            archive.writestr(each, body)
    assert reader.read(path) == f"rows {_ROWS}"


QUIET = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated")


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=examples(25), deadline=None, suppress_health_check=QUIET, derandomize=True)
@given(part=st.integers(0, 60), changes=st.lists(CHANGE, min_size=1, max_size=4))
def test_a_mutated_file_is_rows_or_a_refusal(reader, folder, name, part, changes):
    """A few mutations of each format, the same each day."""
    try_one(reader, folder, name, part, changes)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=1500, deadline=None, suppress_health_check=QUIET)
@given(part=st.integers(0, 60), changes=st.lists(CHANGE, min_size=1, max_size=6))
def test_many_mutated_files_are_rows_or_refusals(reader, folder, name, part, changes):
    """Many mutations, others each time."""
    try_one(reader, folder, name, part, changes)


def test_a_reader_that_dies_or_hangs_is_noticed(tmp_path):
    """The test above could not fail otherwise."""
    reader = Reader()
    (tmp_path / "a").write_bytes(b"a")
    assert reader.read(tmp_path / "a").startswith("refused: ")
    assert reader.process is not None
    reader.process.kill()
    reader.process.wait()
    with pytest.raises(BrokenPipeError):
        reader._answer(tmp_path / "a", 1)
    assert "died" in reader.end("died")
