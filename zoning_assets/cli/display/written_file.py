"""Write a file that a user named, whole or not at all."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from zoning_assets import os_errors
from zoning_assets.errors import SettingInvalid


def write(path: Path, body: bytes) -> None:
    """Write a file; one with the same name is replaced at the end.

    Raises:
        SettingInvalid: it cannot be written; nothing was changed.
    """
    draft = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:40]}.", delete=False) as opened:
            draft = Path(opened.name)
            opened.write(body)
        draft.chmod(0o666 & ~_umask())
        draft.replace(path)
    except OSError as error:
        if draft:
            with suppress(OSError):
                draft.unlink()
        why, _ = os_errors.machine(error) or ("", "")
        raise SettingInvalid(
            f"it cannot be written: {why or error.strerror}", where=str(path), do="choose another file"
        ) from error


def _umask() -> int:
    """The permissions that new files of this process do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
