"""Where an export is published: a file in a folder, or an object at s3://, gs:// or az://.

The file is written aside, and published by one rename or one upload. Beside it is NAME.json, which describes it. The
description is deleted before the file is replaced and written after it: a description never describes another file.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from zoning_assets import os_errors
from zoning_assets.errors import SettingInvalid
from zoning_assets.storage.object_store.object_store import Objects

_SCHEMES = ("s3", "gs", "az")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class ExportTarget:
    """One published file.

    Attributes:
        objects: the folder or the prefix of the URL.
        folder: the folder; None: an object store.
        name: of the file.
    """

    objects: Objects
    folder: Path | None
    name: str

    @property
    def path(self) -> str:
        """The path or the URL of the file."""
        return str(self.folder / self.name) if self.folder else f"{self.objects.url.rstrip('/')}/{self.name}"

    @property
    def sidecar(self) -> str:
        """The name of its description."""
        return f"{self.name}.json"

    def published(self, expected: Mapping[str, Any]) -> dict[str, Any] | None:
        """The description of the published file, if it has these values and the file is as described."""
        try:
            found = self.objects.find_json(self.sidecar)
        except ValueError:  # another program's file
            return None
        if not isinstance(found, dict) or any(found.get(key) != value for key, value in expected.items()):
            return None
        return found if self._is_as_described(found) else None

    def _is_as_described(self, described: Mapping[str, Any]) -> bool:
        if self.folder is None:
            return self.objects.size(self.name) == described.get("bytes")
        path = self.folder / self.name
        return path.is_file() and sha256(path) == described.get("sha256")

    def delete_drafts(self, scratch: Path) -> None:
        """Delete the drafts of processes that were killed; the caller has locked the target."""
        top, prefix = self._drafts(scratch)
        for left in top.iterdir() if top.is_dir() else ():
            if left.name.startswith(prefix) and left.suffix == ".draft":
                shutil.rmtree(left, ignore_errors=True)

    def _drafts(self, scratch: Path) -> tuple[Path, str]:
        """The folder of the drafts, and how their names begin: in `scratch` there are also drafts of other URLs."""
        if self.folder is not None:
            return self.folder, f".{self.name}."
        return scratch / "exports", f".{self.name}.{hashlib.sha256(self.path.encode()).hexdigest()[:16]}."

    @contextmanager
    def draft(self, scratch: Path) -> Iterator[Path]:
        """A path to write to; it is deleted at the end. `scratch`: a folder on this machine."""
        top, prefix = self._drafts(scratch)
        folder = top / f"{prefix}{os.getpid()}-{secrets.token_hex(4)}.draft"
        folder.mkdir(parents=True)
        try:
            yield folder / self.name
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, draft: Path, description: Mapping[str, Any]) -> None:
        """Replace the published file by the draft, and write its description.

        Raises:
            MachineRefused, StoreError: it cannot be written; the published file is complete all the same.
        """
        self.objects.delete([self.sidecar])
        if self.folder is None:
            self.objects.put(self.name, draft)
        else:
            _sync(draft)
            draft.replace(self.folder / self.name)
            _sync(self.folder)
        self.objects.put_json(self.sidecar, description)


def _sync(path: Path) -> None:
    """Write a file or a folder to the disk, so that a power cut does not leave an empty file."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def open_target(to: str | None, default: Path, name: str, suffix: str) -> ExportTarget:
    """The target of `--to`.

    Args:
        to: a file with this suffix, or a folder; or a URL of either. None: the default folder.
        default: the folder.
        name: of the file, unless `to` names one; consists of validated parts.
        suffix: of the format.

    Raises:
        SettingInvalid: the address cannot be used.
    """
    if to is not None and (not to or "\x00" in to):
        raise SettingInvalid("it is empty or has a NUL", where="--to", do="give a path, s3://, gs:// or az://")
    scheme = _scheme(to or "")
    if scheme not in ("", "file", *_SCHEMES):
        what = f"the scheme {scheme}:// is not supported"
        raise SettingInvalid(what, where=f"--to {to}", do="give a path, s3://, gs:// or az://")
    if to and scheme in _SCHEMES:
        top, _, last = to.rpartition("/") if to.endswith(suffix) else (to.rstrip("/"), "", name)
        return ExportTarget(Objects(top, "--to"), None, last)
    given = Path(to.removeprefix("file://")).expanduser().absolute() if to else default
    is_file = to is not None and given.name.endswith(suffix) and not given.is_dir()
    folder, last = (given.parent, given.name) if is_file else (given, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder = folder.resolve()  # one lock for a folder, however it is spelled
    except OSError as error:
        why, _ = os_errors.machine(error) or (error.strerror, "")
        what, do = f"the folder {folder} cannot be created: {why}", "give another folder"
        raise SettingInvalid(what, where="--to" if to else "ZONING_HOME", do=do) from error
    return ExportTarget(Objects(str(folder), "--to"), folder, last)


def _scheme(to: str) -> str:
    try:
        return urlsplit(to).scheme
    except ValueError:  # such as s3://[
        raise SettingInvalid("it is not a URL", where=f"--to {to}", do="give a path, s3://, gs:// or az://") from None


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
