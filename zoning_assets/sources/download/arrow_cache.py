"""Local copies of data that are slow to parse: the rows of a layer are parsed once, however often they are read.

A copy appears only when it is complete, also if two processes make the same one.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pyarrow as pa

Batches = Callable[[], Iterator[pa.RecordBatch]]

_PACKED = pa.ipc.IpcWriteOptions(compression="zstd")


def name_of(path: Path) -> str:
    """A name for what is derived from a file, which changes when the file changes."""
    about = path.stat()
    return hashlib.sha256(f"{path.resolve()} {about.st_mtime_ns} {about.st_size}".encode()).hexdigest()[:16]


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """A temporary file to write to. It is renamed to `target` if the block succeeds, else deleted."""
    draft = target.with_name(f"{target.name}.{os.getpid()}.{os.urandom(4).hex()}.part")
    try:
        yield draft
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def cached(batches: Batches, path: Path) -> Batches:
    """The same batches. The first complete iteration leaves a copy at `path`; later ones read the copy."""

    def again() -> Iterator[pa.RecordBatch]:
        return _read(path) if path.exists() else _copying(batches(), path)

    return again


def _read(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as file:
        for number in range(file.num_record_batches):
            yield file.get_batch(number)


def _copying(batches: Iterator[pa.RecordBatch], path: Path) -> Iterator[pa.RecordBatch]:
    """Pass the batches on while copying them; the copy is renamed when the last batch was taken."""
    first = next(batches, None)
    if first is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_file(path) as draft,
        pa.OSFile(str(draft), "wb") as sink,
        pa.ipc.new_file(sink, first.schema, options=_PACKED) as writer,
    ):
        for batch in chain((first,), batches):
            writer.write_batch(batch)
            yield batch
