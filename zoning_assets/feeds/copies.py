"""A copy of a layer's rows, for formats that are slow to read: text is parsed once, however often its rows are read."""

import os
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pyarrow as pa

Batches = Callable[[], Iterator[pa.RecordBatch]]

_PACKED = pa.ipc.IpcWriteOptions(compression="zstd")


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
    draft = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}.part")
    try:
        with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, first.schema, options=_PACKED) as writer:
            for batch in chain((first,), batches):
                writer.write_batch(batch)
                yield batch
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
