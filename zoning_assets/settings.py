"""What the environment decides. Read once at the edge and handed in; nothing else looks at the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where things live; see README, "Settings"."""

    home: Path  # ZONING_HOME
    store_url: str  # ZONING_STORE_URL
    jurisdictions: Path  # ZONING_JURISDICTIONS

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
        )
