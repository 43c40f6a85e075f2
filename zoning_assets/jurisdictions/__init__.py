"""Jurisdiction files: find, read and validate them. A jurisdiction is described by one TOML file, without code.

The files in this package are examples. A user's files are in one folder (ZONING_JURISDICTIONS); a user's file replaces
an example with the same id.
"""

import difflib
import tomllib
from collections.abc import Collection
from pathlib import Path

from zoning_assets import os_errors
from zoning_assets.errors import JurisdictionInvalid, JurisdictionUnknown
from zoning_assets.jurisdictions.jurisdiction_file import JurisdictionReader
from zoning_assets.jurisdictions.keys import ID
from zoning_assets.model import Jurisdiction

PACKAGED = Path(__file__).parent


def files(folder: Path) -> dict[str, Path]:
    """Return all jurisdiction files by id (the file's name); a user's file replaces a packaged one."""
    found = sorted(PACKAGED.glob("*.toml")) + (sorted(folder.glob("*.toml")) if folder.is_dir() else [])
    return {path.stem: path for path in found}


def load(jurisdiction: str, folder: Path, feed_types: Collection[str]) -> Jurisdiction:
    """Read the file of one jurisdiction.

    Args:
        jurisdiction: its id.
        folder: the user's folder; it need not exist.
        feed_types: the feed types known to this program.

    Raises:
        JurisdictionUnknown: no file has this id.
        JurisdictionInvalid: the file is invalid.
    """
    known = files(folder)
    if jurisdiction not in known:
        near = ", ".join(difflib.get_close_matches(jurisdiction, known, 3) or sorted(known)[:8])
        name = jurisdiction if ID.fullmatch(jurisdiction) else "ID"
        raise JurisdictionUnknown(
            "no file describes this jurisdiction",
            where=repr(jurisdiction),
            do=f"write {folder}/{name}.toml, or choose one of: {near} (searched: {_searched(folder)})",
        )
    return read(known[jurisdiction], feed_types)


def _searched(folder: Path) -> str:
    """Describe the folders that were searched, for messages."""
    return f"{folder}{'' if folder.is_dir() else ', which does not exist'}, and the packaged examples"


def read(path: Path, feed_types: Collection[str]) -> Jurisdiction:
    """Read and validate one file.

    Raises:
        JurisdictionInvalid: it is invalid; the message contains the file, the key and the valid values.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise JurisdictionInvalid(f"it is not TOML: {error}", where=str(path), do="fix the file") from error
    except UnicodeDecodeError as error:
        what = f"it is not UTF-8 text (byte {error.start:,})"
        raise JurisdictionInvalid(what, where=str(path), do="save it as UTF-8") from error
    except RecursionError as error:
        raise JurisdictionInvalid("it is nested too deeply", where=str(path), do="fix the file") from error
    except OSError as error:
        what, do = os_errors.machine(error) or ("it cannot be read", "fix the file")
        raise JurisdictionInvalid(what, where=str(path), do=do) from error
    return JurisdictionReader(path, feed_types).jurisdiction(document)
