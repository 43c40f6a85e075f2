"""Reads files whose paths come on standard input, a line each, and says of each what came of it.

A process of its own, with a limit on memory: a reader that crashes ends this, and not the tests.
"""

import faulthandler
import resource
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import pyarrow as pa

from zoning_assets.errors import FileRefused
from zoning_assets.sources.files import file_reader
from zoning_assets.sources.full_layer import page_of
from zoning_assets.transform import normalize
from zoning_assets.transform.decode import page_readers

MOST_BYTES = 4 << 30


def outcome(path: Path, into: Path) -> str:
    """`rows N`, `refused: why`, or `unforeseen: what`."""
    try:
        found = file_reader.find_layer(path, where="w", layer=None, into=into, most_bytes=64 << 20)
        batches = list(file_reader.batches(found))
        rows = [page_readers.READERS["arrow"](page_of(batch), {}) for batch in batches]
        for each in rows:
            normalize.representative_points(each.geometry, "EPSG:4326")
    except FileRefused as refused:
        return f"refused: {refused}"
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        return f"unforeseen: {type(error).__name__}: {error}"
    return f"rows {sum(map(len, rows))}"


def main() -> None:
    """Until standard input ends."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    pa.set_cpu_count(1)
    for line in sys.stdin:
        into = Path(tempfile.mkdtemp(prefix="fuzz-"))
        print(" ".join(outcome(Path(line.strip()), into).split()), flush=True)  # noqa: T201 - the parent reads it
        shutil.rmtree(into, ignore_errors=True)


if __name__ == "__main__":
    main()
