"""The state of a cluster between starts: one JSON file under ZONING_HOME that only its owner may read."""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from zoning_assets.errors import DatabaseUnavailable

#: The user's name differs from the schema's, because PostgreSQL looks for tables first in a schema of the user's name:
#: Dagster's storage in this database would put its tables into our schema.
USER, DATABASE = "zoning_owner", "zoning"
HOST = "127.0.0.1"


@dataclass(frozen=True)
class State:
    """One cluster, as of its last start."""

    kind: str  # "server": a process on this machine; "engine": a container
    password: str
    port: int
    binaries: str = ""  # the folder of postgres, initdb, psql
    environ: dict[str, str] = field(default_factory=dict)  # the environment that these programs need

    @property
    def url(self) -> str:
        """The address of the database, with the password."""
        return f"postgresql://{USER}:{quote(self.password)}@{HOST}:{self.port}/{DATABASE}"

    def at_port(self, port: int) -> "State":
        """The same cluster on another port."""
        return replace(self, port=port)


def file_of(home: Path) -> Path:
    """The path of the state file of a home."""
    return home.absolute() / "database.json"


def load(home: Path) -> State | None:
    """Read the state of a home's cluster; None: there is none.

    Raises:
        DatabaseUnavailable: the file cannot be read, or is damaged.
    """
    file = file_of(home)
    try:
        return State(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise DatabaseUnavailable(
            f"cannot be read ({what})",
            where=str(file),
            do="set ZONING_HOME to a folder of your own, or run as the user who started this database",
        ) from error


def save(home: Path, state: State) -> None:
    """Write the state atomically; the file is readable only by its owner from the start."""
    file = file_of(home)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
        json.dump(asdict(state), handle, indent=1)
    draft.replace(file)
