"""What a large file in a feed's folder is of, so that runs that follow one another need not fetch it again."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from zoning_assets.transform.geometry import content_hash

#: A file fetched so long ago still serves the runs that follow one another (tiles, then parcels).
_FRESH_S = 600.0


def find(file: Path, of: Mapping[str, Any]) -> dict[str, Any] | None:
    """The note of a file that is there, of just this, and fresh."""
    path = file.with_suffix(".json")
    if not file.exists() or not path.exists():
        return None
    note: dict[str, Any] = orjson.loads(path.read_bytes())
    same = note.get("of") == orjson.loads(content_hash.json_bytes(of)) and 0 <= time.time() - note["at"] < _FRESH_S
    return note if same else None


def keep(draft: Path, file: Path, of: Mapping[str, Any], note: Mapping[str, Any]) -> dict[str, Any]:
    """Put the draft in the file's place, and a note beside it; the note."""
    whole = {**note, "of": of, "at": time.time()}
    path = file.with_suffix(".json")
    path.unlink(missing_ok=True)  # between the two moves the note must not speak of another file
    draft.replace(file)
    path.write_bytes(content_hash.json_bytes(whole))
    return whole
