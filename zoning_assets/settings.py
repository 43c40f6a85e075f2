"""The settings from environment variables. They are read once, when a command starts, and passed as arguments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from zoning_assets.errors import SettingInvalid

#: The parent folder of the package. In a clone it has the script `zoning`.
CLONE = Path(__file__).parents[1]
#: Of a number of days: a century is enough.
_MOST_DIGITS = 5


@dataclass(frozen=True)
class Settings:
    """Folders and addresses; see docs/reference/settings.md."""

    home: Path  # ZONING_HOME
    store_url: str  # ZONING_STORE_URL
    jurisdictions: Path  # ZONING_JURISDICTIONS
    locations: str | None = None  # ZONING_LOCATIONS: state, or a file of groups
    read_database_url: str | None = field(default=None, repr=False)  # ZONING_READ_DATABASE_URL: a replica
    queue_url: str | None = None  # ZONING_QUEUE_URL; None: the database
    api_tokens: str | None = field(default=None, repr=False)  # ZONING_API_TOKENS: a file, or read:TOKEN,review:TOKEN
    map_tiles: str | None = None  # ZONING_MAP_TILES: https://HOST/{z}/{x}/{y}.png
    map_attribution: str = ""  # ZONING_MAP_ATTRIBUTION
    map_url: str | None = None  # ZONING_MAP_URL: the address of the map, for links to it
    smtp_url: str | None = field(default=None, repr=False)  # ZONING_SMTP_URL; None: no e-mail is sent
    smtp_from: str | None = None  # ZONING_SMTP_FROM
    runs_on: str | None = field(default=None, repr=False)  # ZONING_RUNS_ON; None: this machine (run_broker.py)
    run_limits: tuple[str | None, ...] = ()  # ZONING_MAX_RUNS, ZONING_MAX_RUNS_PER_HOST (dagster_config.py)
    keep_runs_days: int = 90  # ZONING_KEEP_RUNS_DAYS; 0: for ever

    @property
    def scratch(self) -> Path:
        """The folder for downloads, which may be deleted at any time."""
        return self.home / "scratch"

    def shared_exports(self, jurisdiction: str) -> str | None:
        """Where runs on several machines write the exports of a jurisdiction; None: the store is a folder of this
        machine, and they go to the folder `exports` of ZONING_HOME."""
        is_shared = self.store_url.startswith(("s3://", "gs://", "az://"))
        return f"{self.store_url.rstrip('/')}/exports/{jurisdiction}" if is_shared else None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings from an environment."""
        home = Path(environ.get("ZONING_HOME") or ".zoning").absolute()
        return cls(
            home=home,
            store_url=environ.get("ZONING_STORE_URL") or str(home / "store"),
            jurisdictions=_jurisdictions(environ.get("ZONING_JURISDICTIONS"), home),
            locations=environ.get("ZONING_LOCATIONS") or None,
            read_database_url=environ.get("ZONING_READ_DATABASE_URL") or None,
            queue_url=environ.get("ZONING_QUEUE_URL") or None,
            api_tokens=environ.get("ZONING_API_TOKENS") or None,
            map_tiles=environ.get("ZONING_MAP_TILES") or None,
            map_attribution=environ.get("ZONING_MAP_ATTRIBUTION", ""),
            map_url=environ.get("ZONING_MAP_URL") or None,
            smtp_url=environ.get("ZONING_SMTP_URL") or None,
            smtp_from=environ.get("ZONING_SMTP_FROM") or None,
            runs_on=environ.get("ZONING_RUNS_ON") or None,
            run_limits=tuple(environ.get(name) or None for name in ("ZONING_MAX_RUNS", "ZONING_MAX_RUNS_PER_HOST")),
            keep_runs_days=_days(environ.get("ZONING_KEEP_RUNS_DAYS") or "90"),
        )


def _jurisdictions(named: str | None, home: Path) -> Path:
    """The folder of the user's jurisdiction files: the named one; else the first that exists of `jurisdictions` in the
    current folder, in the clone of this program, and in ZONING_HOME. Thus a command that cron starts finds the files of
    its clone. If none exists: the one in the clone, or in the current folder if the package is installed."""
    if named:
        return Path(named).absolute()
    clone = [CLONE / "jurisdictions"] if (CLONE / "zoning").is_file() else []
    here = Path("jurisdictions").absolute()
    folders = [here, *clone, home / "jurisdictions"]
    return next((each for each in folders if each.is_dir()), (clone or [here])[0])


def _days(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and len(text) <= _MOST_DIGITS):
        raise SettingInvalid(
            f"{text[:40]!r} is not a number of days", where="ZONING_KEEP_RUNS_DAYS", do="give it like 90"
        )
    return int(text)


def parse_time(text: str, where: str) -> datetime:
    """Parse a time of an option, ISO 8601; UTC if it has no zone.

    Args:
        text: the time.
        where: the option, for the message.

    Raises:
        SettingInvalid: it is not a time.
    """
    try:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        found.astimezone(UTC)  # the first and the last day have no time in UTC in some zones
    except (ValueError, OverflowError):
        raise SettingInvalid(f"{text!r} is not a time", where=where, do="give it like 2026-11-24T18:00Z") from None
    return found
