"""A note beside a large file that states its content, so that runs that follow one another need not fetch it again."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from zoning_assets.transform.geometry import content_hash

#: Seconds for which a file may be reused by runs that follow one another (tiles, then parcels).
_FRESH_S = 600.0


def find(file: Path, of: Mapping[str, Any]) -> dict[str, Any] | None:
    """The note of a file, if the file exists, has this content and is fresh; else None."""
    path = file.with_suffix(".json")
    if not file.exists() or not path.exists():
        return None
    note: dict[str, Any] = orjson.loads(path.read_bytes())
    same = note.get("of") == orjson.loads(content_hash.json_bytes(of)) and 0 <= time.time() - note["at"] < _FRESH_S
    return note if same else None


def keep(draft: Path, file: Path, of: Mapping[str, Any], note: Mapping[str, Any]) -> dict[str, Any]:
    """Move the draft to the file's name, and write the note beside it; return the note."""
    whole = {**note, "of": of, "at": time.time()}
    path = file.with_suffix(".json")
    path.unlink(missing_ok=True)  # between the two moves an old note must not describe the new file
    draft.replace(file)
    path.write_bytes(content_hash.json_bytes(whole))
    return whole
