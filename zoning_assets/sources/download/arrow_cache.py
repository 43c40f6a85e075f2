"""Copies of what is slow or unfit to read: a layer's rows, parsed once however often they are read; a file made ready.

A copy appears whole or not at all, also where two processes make the same one.
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
    """A name for what is made of a file as it is now."""
    about = path.stat()
    return hashlib.sha256(f"{path.resolve()} {about.st_mtime_ns} {about.st_size}".encode()).hexdigest()[:16]


@contextmanager
def drafted(target: Path) -> Iterator[Path]:
    """A file to write to; it gets its name when the block ends well, else it is removed."""
    draft = target.with_name(f"{target.name}.{os.getpid()}.{os.urandom(4).hex()}.part")
    try:
        yield draft
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def copied(batches: Batches, path: Path) -> Batches:
    """The same batches. The first reading that reaches their end leaves a copy at `path`; those after it read that."""

    def again() -> Iterator[pa.RecordBatch]:
        return _read(path) if path.exists() else _copying(batches(), path)

    return again


def _read(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as file:
        for number in range(file.num_record_batches):
            yield file.get_batch(number)


def _copying(batches: Iterator[pa.RecordBatch], path: Path) -> Iterator[pa.RecordBatch]:
    """Whole or not at all: the copy gets its name when the last batch was taken."""
    first = next(batches, None)
    if first is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        drafted(path) as draft,
        pa.OSFile(str(draft), "wb") as sink,
        pa.ipc.new_file(sink, first.schema, options=_PACKED) as writer,
    ):
        for batch in chain((first,), batches):
            writer.write_batch(batch)
            yield batch
