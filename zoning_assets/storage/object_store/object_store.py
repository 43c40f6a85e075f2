"""The object store: files under a folder, or s3://, gs://, az:// by one setting. An object is whole or not there."""

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
    """Objects by name. Names are ours, made of judged parts, never of what a portal says."""

    def __init__(self, url: str) -> None:
        """Open the store at `url`: a path, file://, s3://, gs:// or az://.

        Raises:
            SettingInvalid: the URL is of no kind known here, or the folder cannot be made.
        """
        self.url = url
        try:
            self._store = _open(url)
        except (BaseError, OSError) as error:
            raise SettingInvalid(
                f"{url} cannot be opened: {_why(error)}",
                where="ZONING_STORE_URL",
                do="give a path, s3://, gs:// or az://",
            ) from error

    def __reduce__(self) -> tuple[object, ...]:
        """A worker process opens the store anew."""
        return Objects, (self.url,)

    def put(self, name: str, body: bytes) -> None:
        """Write an object, replacing the one of that name."""
        try:
            obstore.put(self._store, name, body)
        except BaseError as error:
            raise _failed("written", name, self.url, error) from error

    def put_json(self, name: str, document: Any) -> None:
        """Write a JSON document with sorted keys."""
        self.put(name, content_hash.json_bytes(document, orjson.OPT_INDENT_2))

    def get(self, name: str) -> bytes:
        """Read an object.

        Raises:
            HarvestMissing: there is none of that name.
        """
        try:
            return bytes(obstore.get(self._store, name).bytes())
        except (NotFoundError, FileNotFoundError) as error:
            raise HarvestMissing(
                f"nothing is stored as {name}", where=self.url, do="materialize the asset before it"
            ) from error
        except BaseError as error:
            raise _failed("read", name, self.url, error) from error

    def find_json(self, name: str) -> Any | None:
        """Read a JSON document, or None where there is none of that name."""
        try:
            return orjson.loads(self.get(name))
        except HarvestMissing:
            return None

    def has(self, name: str) -> bool:
        """Whether there is an object of that name."""
        try:
            obstore.head(self._store, name)
        except (NotFoundError, FileNotFoundError):
            return False
        return True

    def names(self, folder: str) -> list[str]:
        """All objects below a folder."""
        return [str(each["path"]) for batch in obstore.list(self._store, folder) for each in batch]

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects; what is gone already is no fault."""
        try:
            if names:
                obstore.delete(self._store, list(names))
        except (NotFoundError, FileNotFoundError):
            return
        except BaseError as error:
            raise _failed("deleted", names[0], self.url, error) from error


def _open(url: str) -> ObjectStore:
    scheme = urlsplit(url).scheme
    if scheme in ("", "file"):
        return LocalStore(Path(url.removeprefix("file://")), mkdir=True)
    if scheme in ("s3", "gs", "az"):
        return from_url(url)
    raise SettingInvalid(
        f"no store speaks {scheme}://", where="ZONING_STORE_URL", do="give a path, s3://, gs:// or az://"
    )


def _failed(action: str, name: str, url: str, error: Exception) -> StoreError:
    return StoreError(f"{name} cannot be {action}: {_why(error)}", where=url, do="check the store and run again")


def _why(error: BaseException) -> str:
    """Why the store refused: the disk's or the network's reason, else what the store says."""
    found = os_errors.machine(error)
    return found[0] if found else os_errors.network(error) or str(error).splitlines()[0]
