"""The object store: files in a folder, or s3://, gs://, az://, by one setting. An object is written atomically."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
import orjson
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from zoning_assets.errors import HarvestMissing, SettingInvalid, StoreError
from zoning_assets.storage.object_store import store_errors
from zoning_assets.transform.geometry import content_hash

#: Immutable objects that are kept in memory: their number, and the largest size in bytes.
_MOST_KEPT, _LARGEST_KEPT = 512, 1 << 16
#: Seconds before a deletion that failed is sent again.
_DELETE_AGAIN_S = (0.2, 1.0, 3.0)
_MISSING = (NotFoundError, FileNotFoundError)


class Objects:
    """Objects by name. Names consist of validated parts, never of text from a portal."""

    def __init__(self, url: str, setting: str = "ZONING_STORE_URL") -> None:
        """Open the store at `url`: a path, file://, s3://, gs:// or az://. `setting`: where the URL was given.

        Raises:
            SettingInvalid: the scheme of the URL is not supported, or the folder cannot be created.
        """
        self.url, self.setting = url, setting
        self._kept = dict[str, bytes]()
        try:
            self._store = _open(url, setting)
        except (BaseError, OSError) as error:
            what, _ = store_errors.reason(error)
            raise SettingInvalid(
                f"{url} cannot be opened: {what}",
                where=setting,
                do="give a path, s3://, gs:// or az://, and its variables (docs/how-to/object-stores.md)",
            ) from error

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle only the URL: a worker process opens the store again."""
        return Objects, (self.url, self.setting)

    def put(self, name: str, body: bytes | memoryview | Path) -> None:
        """Write an object, also from a file; one with the same name is replaced. It appears when it is complete.

        Raises:
            StoreError: the store failed.
        """
        with self._translated("written", name):
            obstore.put(self._store, name, body)

    def put_json(self, name: str, document: Any) -> None:
        """Write a JSON document with sorted keys."""
        self.put(name, content_hash.json_bytes(document, orjson.OPT_INDENT_2))

    def size(self, name: str) -> int | None:
        """The bytes of an object; None: there is none with this name.

        Raises:
            StoreError: the store failed.
        """
        with self._translated("read", name), suppress(*_MISSING):
            return int(obstore.head(self._store, name)["size"])
        return None

    def get(self, name: str) -> bytes:
        """Read an object.

        Raises:
            HarvestMissing: there is no object with this name.
            StoreError: the store failed.
        """
        with self._translated("read", name):
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except _MISSING as error:
                if store_errors.is_bucket_missing(error):
                    raise
                raise HarvestMissing(
                    f"nothing is stored as {name}", where=self.url, do="materialize the upstream asset"
                ) from error

    def get_immutable(self, name: str) -> bytes:
        """Read an object that never changes once it is written; a small one is requested once.

        Raises:
            HarvestMissing, StoreError: as `get`.
        """
        body = self._kept.get(name)
        if body is None:
            body = self.get(name)
            if len(body) <= _LARGEST_KEPT:
                with suppress(RuntimeError, StopIteration):  # another thread changes it
                    while len(self._kept) >= _MOST_KEPT:
                        self._kept.pop(next(iter(self._kept)), None)
                self._kept[name] = body
        return body

    def find_json(self, name: str) -> Any | None:
        """Read a JSON document; None: there is none with this name."""
        try:
            return orjson.loads(self.get(name))
        except HarvestMissing:
            return None

    def has(self, name: str) -> bool:
        """Whether there is an object with this name.

        Raises:
            StoreError: the store failed.
        """
        return self.size(name) is not None

    def names(self, folder: str) -> list[str]:
        """The names of all objects in a folder and its subfolders.

        Raises:
            StoreError: the store failed.
        """
        with self._translated("listed", folder):
            return [str(each["path"]) for batch in obstore.list(self._store, folder) for each in batch]

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects; missing ones are ignored.

        Raises:
            StoreError: the store failed.
        """
        if not names:
            return
        with self._translated("deleted", names[0]):
            try:
                self._delete(list(names))
            except _MISSING:  # it stops at a missing object
                for name in names:
                    with suppress(*_MISSING):
                        self._delete([name])

    def _delete(self, names: list[str]) -> None:
        """Delete objects; again after a failure, because obstore sends only some requests again, and not this one."""
        for wait_s in _DELETE_AGAIN_S:
            try:
                return obstore.delete(self._store, names)
            except NotFoundError:
                raise
            except BaseError:
                time.sleep(wait_s)
        return obstore.delete(self._store, names)

    @contextmanager
    def _translated(self, action: str, name: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            what, do = store_errors.reason(error)
            raise StoreError(f"{name} cannot be {action}: {what}", where=self.url, do=do) from error


def _open(url: str, setting: str) -> ObjectStore:
    scheme = urlsplit(url).scheme
    if scheme in ("", "file"):
        return LocalStore(Path(url.removeprefix("file://")), mkdir=True)
    if scheme in ("s3", "gs", "az"):
        return from_url(url)
    raise SettingInvalid(
        f"the scheme {scheme}:// is not supported", where=setting, do="give a path, s3://, gs:// or az://"
    )
