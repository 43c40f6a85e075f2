"""The variants of the benchmark's ArcGIS server: what they support, and their limits."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerVariant:
    """One variant of the server. None supports HAVING.

    Attributes:
        name: as `zoning bench sync --variant` takes it.
        about: one line for people.
        statistics: it supports outStatistics and groups.
        tracking: it stores when each row was edited, and states when the layer was edited.
        scans: a query by area reads and tests every row; else an index is used.
        delay_s: the delay of each request, in seconds, whatever the number of concurrent requests.
        requests_per_minute: the rate limit; faster requests wait, as with limit_req of nginx; 0: no limit.
    """

    name: str
    about: str
    statistics: bool = False
    tracking: bool = False
    scans: bool = False
    delay_s: float = 0.0
    requests_per_minute: int = 0

    def least_s(self, requests: int, connections: int) -> float:
        """The least seconds for so many requests with this variant, for any client."""
        limited = (requests - 1) * 60 / self.requests_per_minute if self.requests_per_minute else 0.0
        return max(limited, requests * self.delay_s / connections)


VARIANTS: Mapping[str, ServerVariant] = {
    each.name: each
    for each in (
        ServerVariant("plain", "neither statistics nor HAVING nor editor tracking"),
        ServerVariant("spatial", "as plain; a query by area reads and tests each row", scans=True),
        ServerVariant("statistics", "statistics without HAVING, no editor tracking", statistics=True),
        ServerVariant("tracked", "editor tracking and statistics", statistics=True, tracking=True),
        ServerVariant("latency", "as tracked; 300 ms a request", statistics=True, tracking=True, delay_s=0.3),
        ServerVariant(
            "limited", "as tracked; 30 requests a minute", statistics=True, tracking=True, requests_per_minute=30
        ),
    )
}
#: Variants without delay and limit: their seconds depend on the contestant only.
UNHINDERED = ("plain", "spatial", "statistics", "tracked")
