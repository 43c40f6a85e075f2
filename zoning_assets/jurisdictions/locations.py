"""Groups of jurisdictions, each with a Dagster code location of its own.

ZONING_LOCATIONS unset      one location has all jurisdictions
ZONING_LOCATIONS=state      one for each state: the first two parts of the id, as us-ma of us-ma-cambridge
ZONING_LOCATIONS=FILE       a TOML file with patterns of ids; an id that no pattern matches is in the group `rest`

    [locations]
    new-england = ["us-ma-*", "us-nh-*"]
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self

from zoning_assets.errors import SettingInvalid

SETTING, STATE = "ZONING_LOCATIONS", "state"
_REST = "rest"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MOST_BYTES, _MOST_LOCATIONS = 1_000_000, 1000


@dataclass(frozen=True)
class Location:
    """A group. `name` None: the only one, with all jurisdictions."""

    name: str | None = None

    @property
    def identifier(self) -> str:
        """The name as a part of Dagster's names: us_ma; empty for the only group."""
        return (self.name or "").replace("-", "_")

    @property
    def attribute(self) -> str:
        """The attribute of zoning_assets.definitions with its definitions."""
        return f"location_{self.identifier}"

    @property
    def tiles(self) -> str:
        """The name under which Dagster keeps the partitions of tiles of the group."""
        return f"tiles_{self.identifier}" if self.name else "tiles"


#: The group of all jurisdictions.
WHOLE = Location()


@dataclass(frozen=True)
class Locations:
    """How jurisdictions are grouped. `patterns`: by name of the group; None: by state; empty: not at all."""

    patterns: Mapping[str, Sequence[str]] | None = field(default_factory=dict)

    @classmethod
    def of(cls, by: str | None) -> Self:
        """The groups of the setting ZONING_LOCATIONS.

        Raises:
            SettingInvalid: it is neither `state` nor a file of groups.
        """
        if by is None:
            return cls()
        return cls(None) if by == STATE else cls(_read(Path(by)))

    @property
    def is_grouped(self) -> bool:
        """Whether there is more than the group of all."""
        return self.patterns is None or bool(self.patterns)

    def find(self, jurisdiction: str) -> Location:
        """The group of a jurisdiction. Every id has one, also that of a jurisdiction without a file."""
        if not self.is_grouped:
            return WHOLE
        if self.patterns is None:
            return Location("-".join(jurisdiction.split("-")[:2]))
        names = (name for name, ids in self.patterns.items() if any(fnmatchcase(jurisdiction, each) for each in ids))
        return Location(next(names, _REST))

    def all(self, jurisdictions: Iterable[str]) -> list[Location]:
        """The groups of some jurisdictions, by name. The first one also does what concerns all groups."""
        names = {self.find(each).name or "" for each in jurisdictions}
        return [Location(name) for name in sorted(names)] if self.is_grouped else [WHOLE]


def _read(file: Path) -> Mapping[str, Sequence[str]]:
    do = 'write a table [locations] with lines like new-england = ["us-ma-*", "us-nh-*"], or set it to `state`'
    try:
        with file.open("rb") as opened:
            found = tomllib.loads(opened.read(_MOST_BYTES).decode()).get("locations")
    except (OSError, ValueError) as error:
        what = f"it cannot be read: {getattr(error, 'strerror', None) or str(error).splitlines()[0]}"
        raise SettingInvalid(what, where=f"{SETTING} {file}", do=do) from None
    if not isinstance(found, dict) or not 0 < len(found) <= _MOST_LOCATIONS:
        raise SettingInvalid("it has no table [locations] with groups", where=f"{SETTING} {file}", do=do)
    for name, ids in found.items():
        if not _NAME.fullmatch(name) or name == _REST:
            raise SettingInvalid(
                f"{name!r} is not a name of a group", where=f"{SETTING} {file}", do="use a-z, 0-9 and -"
            )
        if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
            raise SettingInvalid(f"{name}: it is not a list of patterns", where=f"{SETTING} {file}", do=do)
    return found
