"""The object store: files in a folder, or s3://, gs://, az://, by one setting. An object is written atomically."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
import orjson
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from zoning_assets import os_errors
from zoning_assets.errors import HarvestMissing, SettingInvalid, StoreError
from zoning_assets.transform.geometry import content_hash


class Objects:
    """Objects by name. Names consist of validated parts, never of text from a portal."""

    def __init__(self, url: str, setting: str = "ZONING_STORE_URL") -> None:
        """Open the store at `url`: a path, file://, s3://, gs:// or az://. `setting`: where the URL was given.

        Raises:
            SettingInvalid: the scheme of the URL is not supported, or the folder cannot be created.
        """
        self.url, self.setting = url, setting
        try:
            self._store = _open(url, setting)
        except (BaseError, OSError) as error:
            raise SettingInvalid(
                f"{url} cannot be opened: {_why(error)}",
                where=setting,
                do="give a path, s3://, gs:// or az://",
            ) from error

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle only the URL: a worker process opens the store again."""
        return Objects, (self.url, self.setting)

    def put(self, name: str, body: bytes) -> None:
        """Write an object; one with the same name is replaced.

        Raises:
            StoreError: the store failed.
        """
        try:
            obstore.put(self._store, name, body)
        except BaseError as error:
            raise _failed("written", name, self.url, error) from error

    def put_json(self, name: str, document: Any) -> None:
        """Write a JSON document with sorted keys."""
        self.put(name, content_hash.json_bytes(document, orjson.OPT_INDENT_2))

    def put_file(self, name: str, path: Path) -> None:
        """Write an object from a file, in parts; it appears when all parts are there.

        Raises:
            StoreError: the store failed.
        """
        try:
            obstore.put(self._store, name, path)
        except BaseError as error:
            raise _failed("written", name, self.url, error) from error

    def size(self, name: str) -> int | None:
        """The bytes of an object; None: there is none with this name.

        Raises:
            StoreError: the store failed.
        """
        try:
            return int(obstore.head(self._store, name)["size"])
        except (NotFoundError, FileNotFoundError):
            return None
        except BaseError as error:
            raise _failed("read", name, self.url, error) from error

    def get(self, name: str) -> bytes:
        """Read an object.

        Raises:
            HarvestMissing: there is no object with this name.
            StoreError: the store failed.
        """
        try:
            return bytes(obstore.get(self._store, name).bytes())
        except (NotFoundError, FileNotFoundError) as error:
            raise HarvestMissing(
                f"nothing is stored as {name}", where=self.url, do="materialize the upstream asset"
            ) from error
        except BaseError as error:
            raise _failed("read", name, self.url, error) from error

    def find_json(self, name: str) -> Any | None:
        """Read a JSON document; None: there is none with this name."""
        try:
            return orjson.loads(self.get(name))
        except HarvestMissing:
            return None

    def has(self, name: str) -> bool:
        """Whether there is an object with this name."""
        try:
            obstore.head(self._store, name)
        except (NotFoundError, FileNotFoundError):
            return False
        return True

    def names(self, folder: str) -> list[str]:
        """The names of all objects in a folder and its subfolders."""
        return [str(each["path"]) for batch in obstore.list(self._store, folder) for each in batch]

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects; missing ones are ignored."""
        try:
            if names:
                obstore.delete(self._store, list(names))
        except (NotFoundError, FileNotFoundError):
            return
        except BaseError as error:
            raise _failed("deleted", names[0], self.url, error) from error


def _open(url: str, setting: str) -> ObjectStore:
    scheme = urlsplit(url).scheme
    if scheme in ("", "file"):
        return LocalStore(Path(url.removeprefix("file://")), mkdir=True)
    if scheme in ("s3", "gs", "az"):
        return from_url(url)
    raise SettingInvalid(
        f"the scheme {scheme}:// is not supported", where=setting, do="give a path, s3://, gs:// or az://"
    )


def _failed(action: str, name: str, url: str, error: Exception) -> StoreError:
    return StoreError(f"{name} cannot be {action}: {_why(error)}", where=url, do="check the store and run again")


def _why(error: BaseException) -> str:
    """The reason of an error of the store: of the disk or the network, else the first line of its message."""
    found = os_errors.machine(error)
    return found[0] if found else os_errors.network(error) or str(error).splitlines()[0]
