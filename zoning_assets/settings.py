"""What the environment decides. Read once at the edge and handed in; nothing else looks at the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from zoning_assets.errors import SettingInvalid

#: The folder that the package lies in: a clone has the script `zoning` there.
CLONE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Settings:
    """Where things live; see docs/reference/settings.md."""

    home: Path  # ZONING_HOME
    store_url: str  # ZONING_STORE_URL
    jurisdictions: Path  # ZONING_JURISDICTIONS
    queue_url: str | None = None  # ZONING_QUEUE_URL; None: the database

    @property
    def scratch(self) -> Path:
        """Files that may be deleted at any time: downloads."""
        return self.home / "scratch"

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Settings":
        """The settings that an environment says."""
        home = Path(environ.get("ZONING_HOME") or ".zoning").absolute()
        return cls(
            home=home,
            store_url=environ.get("ZONING_STORE_URL") or str(home / "store"),
            jurisdictions=_jurisdictions(environ.get("ZONING_JURISDICTIONS"), home),
            queue_url=environ.get("ZONING_QUEUE_URL") or None,
        )


def _jurisdictions(named: str | None, home: Path) -> Path:
    """The folder of the user's jurisdiction files: the one that is named; else `jurisdictions` in the current folder,
    in the clone that this program runs from, or in ZONING_HOME, whichever there is first. So a command that cron starts
    finds the files of its clone. Where there is none yet: in the clone, or in the current folder when installed."""
    if named:
        return Path(named).absolute()
    clone = [CLONE / "jurisdictions"] if (CLONE / "zoning").is_file() else []
    here = Path("jurisdictions").absolute()
    folders = [here, *clone, home / "jurisdictions"]
    return next((each for each in folders if each.is_dir()), (clone or [here])[0])


def moment(text: str, where: str) -> datetime:
    """A moment that a person gave, ISO 8601; UTC where no zone is said.

    Raises:
        SettingInvalid: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SettingInvalid(f"{text!r} is no moment", where=where, do="give it like 2026-11-24T18:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
