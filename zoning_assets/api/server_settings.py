"""What the server is started with: addresses of the database, tokens, limits. Read once by cli/serve.py."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zoning_assets.api.tokens import Tokens
from zoning_assets.jurisdictions.locations import Locations

#: Seconds for a statement of the database, and for a request as a whole.
STATEMENT_S, REQUEST_S = 10, 20


@dataclass(frozen=True)
class ServerSettings:
    """The settings of one server.

    `read_url` and `write_url`: the database; sessions of the first have the reader role and are read-only. It may be a
    replica; then `primary_url` has the same role at the primary server.
    `status`: returns the document of `zoning status --json`; the command line has it.
    """

    read_url: str
    write_url: str
    status: Callable[[], Mapping[str, Any]]
    tokens: Tokens = field(default_factory=Tokens)
    primary_url: str | None = None
    is_loopback: bool = True
    tiles: str | None = None  # address of background tiles, https://HOST/{z}/{x}/{y}.png
    attribution: str = ""
    dagster: str | None = None  # address of Dagster's UI
    locations: Locations = field(default_factory=Locations)  # a part of the addresses of assets in that UI
    portals: Mapping[str, str] = field(default_factory=dict)  # JURISDICTION/FEED -> address of its layer
    names: Mapping[str, str] = field(default_factory=dict)  # jurisdiction -> its name
    requests: int = 32  # requests in flight
    connections: int = 8  # of the pool for features and tiles
