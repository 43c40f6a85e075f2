"""What the environment decides. Read once at the edge and handed in; nothing else looks at the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from zoning_assets.errors import SettingInvalid


@dataclass(frozen=True)
class Settings:
    """Where things live; see README, "Settings"."""

    home: Path  # ZONING_HOME
    store_url: str  # ZONING_STORE_URL
    jurisdictions: Path  # ZONING_JURISDICTIONS
    queue_url: str | None = None  # ZONING_QUEUE_URL; None: the database

    @property
    def scratch(self) -> Path:
        """Files that may be deleted at any time: downloads and what they were sliced into."""
        return self.home / "scratch"

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Settings":
        """The settings that an environment says."""
        home = Path(environ.get("ZONING_HOME") or ".zoning").absolute()
        return cls(
            home=home,
            store_url=environ.get("ZONING_STORE_URL") or str(home / "store"),
            jurisdictions=Path(environ.get("ZONING_JURISDICTIONS") or "jurisdictions").absolute(),
            queue_url=environ.get("ZONING_QUEUE_URL") or None,
        )


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
