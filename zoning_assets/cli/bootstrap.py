"""Prepare what commands need: the settings, Dagster's home, the database."""

import difflib
import hashlib
import os
import sys
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from zoning_assets import jurisdictions, os_errors
from zoning_assets.cli import dagster_config
from zoning_assets.cli.display import output
from zoning_assets.errors import JurisdictionUnknown, SettingInvalid
from zoning_assets.model import Jurisdiction
from zoning_assets.settings import CLONE, Settings
from zoning_assets.storage import dagster_storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dagster as dg

#: The folder of this package.
_CODE = Path(__file__).parents[1]
#: The first line of our dagster.yaml, also in earlier versions.
_OURS = "# `zoning` copies this file to DAGSTER_HOME"
_DOTENV = "# Written by `zoning` for `dagster dev` and `dg dev` in this clone.\n"
#: The folder of Dagster's old SQLite storage, and its name after the move to PostgreSQL.
_SQLITE, _KEPT = "history", "history-sqlite"


def settings() -> Settings:
    """Read the settings from the environment of this process."""
    return Settings.of(os.environ)


def program_version() -> str:
    """Name and version of this program; a clone that is not installed has no version."""
    try:
        return f"zoning-assets {version('zoning-assets')}"
    except PackageNotFoundError:
        return "zoning-assets"


def settings_digest() -> str:
    """Return a digest of the settings and of the time when the program's code last changed, by an upgrade or an edit:
    equal where two processes make the same runs. (A clone has no package version.)

    The database and Dagster's storage must have been brought up, as their addresses are part of it.
    """
    changed_ns = max(file.stat().st_mtime_ns for file in _CODE.rglob("*.py"))
    addresses = (os.environ.get("ZONING_DATABASE_URL"), os.environ.get(dagster_storage.SETTING))
    return hashlib.sha256(repr((changed_ns, settings(), addresses)).encode()).hexdigest()


def jurisdiction(id_: str) -> Jurisdiction:
    """Load a jurisdiction. A file of the user replaces a packaged one.

    Raises:
        JurisdictionUnknown: no file describes it.
        JurisdictionInvalid: its file is invalid.
    """
    from zoning_assets.sources import FEED_TYPES  # noqa: PLC0415

    return jurisdictions.load(id_, settings().jurisdictions, FEED_TYPES)


def find_jurisdiction(id_: str) -> Jurisdiction | None:
    """Load a jurisdiction; None: no file describes it (any more).

    Raises:
        JurisdictionInvalid: its file is invalid.
    """
    return jurisdiction(id_) if id_ in jurisdictions.files(settings().jurisdictions) else None


def check_known(id_: str | None, url: str, where: str) -> None:
    """Check that a jurisdiction has a file or was published; None: no check.

    Raises:
        JurisdictionUnknown: neither.
    """
    from zoning_assets.storage.postgis.records.status_queries import known  # noqa: PLC0415

    described = jurisdictions.files(settings().jurisdictions)
    if id_ is None or id_ in described:
        return
    done = known(url)
    if id_ in done:
        return
    near = difflib.get_close_matches(id_, {*done, *described}, 3) or done[:8] or sorted(described)[:8]
    raise JurisdictionUnknown(
        "it was never published, and no file describes it",
        where=f"{where} {id_!r}",
        do=f"choose one of: {', '.join(near)}",
    )


def read(file: Path, most: int, do: str) -> bytes:
    """Read a file, or standard input (-).

    Args:
        file: the path.
        most: the largest size, in bytes.
        do: what to do, for the message of an error.

    Raises:
        SettingInvalid: it cannot be read, or is larger than `most`.
    """
    try:
        with sys.stdin.buffer if str(file) == "-" else file.open("rb") as opened:
            body = opened.read(most + 1)
    except OSError as error:
        why, _ = os_errors.machine(error) or ("", "")
        raise SettingInvalid(f"cannot be read: {why or error.strerror}", where=str(file), do=do) from error
    if len(body) > most:
        raise SettingInvalid(f"it has more than {most:,} bytes", where=str(file), do=do)
    return body


def prepare_dagster() -> Path:
    """Create DAGSTER_HOME with our dagster.yaml, and put the address of Dagster's storage into the environment.

    A dagster.yaml of the user is not changed.

    Raises:
        SettingInvalid: ZONING_DAGSTER_DATABASE_URL is not the address of a database, or a setting of runs is invalid.
        DatabaseUnavailable: it does not answer, or this user may not create a schema there.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or settings().home / "dagster").expanduser().absolute()
    os.environ["DAGSTER_HOME"] = str(home)
    home.mkdir(parents=True, exist_ok=True)
    target = home / "dagster.yaml"
    text = target.read_text() if target.exists() else _OURS
    if text.startswith(_OURS):
        text = dagster_config.dagster_yaml(os.environ)
        _write(target, text)
    if dagster_storage.SETTING in text:
        _prepare_storage(home)
    return home


def _prepare_storage(home: Path) -> None:
    from zoning_assets.storage.postgis import database  # noqa: PLC0415

    url = database.bring_up(settings().home, os.environ)  # as the writer, who creates and owns Dagster's schema
    address = dagster_storage.bring_up(settings().home, os.environ, url)
    os.environ[dagster_storage.SETTING] = address
    if settings().home == CLONE / ".zoning":
        _write_dotenv(CLONE / ".env", home, address if dagster_storage.is_private(address) else None)
    if (home / _SQLITE).is_dir():
        (home / _SQLITE).replace(home / _KEPT)
        output.line(f"Dagster's storage is PostgreSQL now: its list of runs is empty; the old one is in {home / _KEPT}")


def _write_dotenv(target: Path, home: Path, address: str | None) -> None:
    """Write `.env` in the clone, which `dagster dev` and `dg dev` read. Variables of the environment take precedence.

    Args:
        target: the file.
        home: DAGSTER_HOME.
        address: of a private cluster; None: not written, because it may contain a password of the user.
    """
    values = {"DAGSTER_HOME": str(home), **({dagster_storage.SETTING: address} if address else {})}
    if not target.exists() or target.read_text().startswith(_DOTENV):
        _write(target, _DOTENV + "".join(f"{name}=${{{name}:-{value}}}\n" for name, value in values.items()))


def _write(target: Path, text: str) -> None:
    """Write a file atomically, readable by this user only."""
    if not target.exists() or target.read_text() != text:
        draft = target.with_suffix(f".{os.getpid()}")
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(text)
        draft.replace(target)


def check_store() -> None:
    """Open the object store that the user set, so that an invalid setting is reported before a run starts.

    Raises:
        SettingInvalid: ZONING_STORE_URL is not an object store.
    """
    if os.environ.get("ZONING_STORE_URL"):
        from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415

        Objects(settings().store_url)


def bring_up_database() -> str:
    """Start the database if needed, migrate its schema, and return its address. Child processes inherit the address."""
    from zoning_assets.storage.postgis import database  # noqa: PLC0415

    url = database.bring_up(settings().home, os.environ)
    os.environ["ZONING_DATABASE_URL"] = url
    return url


def prepare_storage() -> Path:
    """Create DAGSTER_HOME and its storage, before several programs would create it at the same time. Cancel queued runs
    of commands that are gone, before the daemon would start them."""
    from zoning_assets.defs import run_workers  # noqa: PLC0415 - imports Dagster
    from zoning_assets.storage.postgis import process_locks  # noqa: PLC0415

    url = os.environ.get("ZONING_DATABASE_URL") or bring_up_database()
    with dagster_instance() as instance:
        run_workers.cancel_abandoned(instance, partial(process_locks.living, url))
        return Path(os.environ["DAGSTER_HOME"])


def dagster_environ() -> dict[str, str]:
    """Return the environment of Dagster's programs. With it a backfill waits for definitions that cannot be loaded
    because their server was killed; by default Dagster fails the backfill."""
    return {"DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR": "1", **os.environ}


@contextmanager
def dagster_instance() -> "Iterator[dg.DagsterInstance]":
    """Open the Dagster instance that records all runs.

    Raises:
        SettingInvalid: the dagster.yaml of DAGSTER_HOME is invalid.
        DatabaseUnavailable: see prepare_dagster.
    """
    with _opened(prepare_dagster()) as instance:
        yield instance


def _opened(home: Path) -> "dg.DagsterInstance":
    import dagster as dg  # noqa: PLC0415

    from zoning_assets.defs.dagster_instance import keep_connections  # noqa: PLC0415

    address = os.environ.get(dagster_storage.SETTING)
    try:
        with dagster_storage.locked(address) if address else nullcontext():
            instance = dg.DagsterInstance.get()
            keep_connections(instance)
            return instance
    except dg.DagsterError as error:
        raise SettingInvalid(str(error), where=f"DAGSTER_HOME {home}", do="correct its dagster.yaml") from error
