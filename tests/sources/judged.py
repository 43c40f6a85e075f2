"""A file's rows as they would be published: read, brought into a page, normalized, judged."""

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from zoning_assets.model import PARCELS, Feed, Jurisdiction
from zoning_assets.sources.files import file_reader
from zoning_assets.sources.full_layer import page_of
from zoning_assets.transform import normalize, validate
from zoning_assets.transform.decode import page_readers

#: A folder of this session; conftest sets it.
SCRATCH: Path | None = None


def below_pytest() -> Path:
    """A new folder, for what a test unpacks."""
    return Path(tempfile.mkdtemp(dir=SCRATCH))


def judged(path: Path, *, bounds: tuple[float, float, float, float], layer: str | None = None, **feed: Any) -> Any:
    """What judging says of a file's rows."""
    made = Feed(**{"name": PARCELS, "type": "download", "url": str(path), "key": "ml", **feed})
    town = Jurisdiction("us-xx-town", "Town", bounds, {PARCELS: made})
    named = [str(made.key), *made.fields.values()]
    found = file_reader.find_layer(path, where="the feed", layer=layer, into=below_pytest(), named=named)
    body = page_of(pa.Table.from_batches(list(file_reader.batches(found))).combine_chunks().to_batches()[0])
    about = {"crs": found.crs, "managed": ["fid", *found.managed]}
    frame = normalize.normalize(page_readers.READERS["arrow"](body, about), jurisdiction=town, feed=made, layer=about)
    frame["page"] = "p"
    return validate.validate_rows(frame, jurisdiction=town, feed=made, listed=True)


def hashes(path: Path, **said: Any) -> tuple[list[tuple[str, str]], list[str]]:
    """Keys with content hashes, and the reasons of what was held back."""
    done = judged(path, **said)
    rows = zip(done.table["key"], done.table["content_hash"], strict=True)
    return sorted(rows), sorted(done.rejections["reason"])
