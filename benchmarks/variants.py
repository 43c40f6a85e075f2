"""The variants of the benchmark's ArcGIS server: what it can do, and what it costs to ask it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """One server. None knows HAVING.

    Attributes:
        name: as `zoning bench sync --variant` takes it.
        about: one line for people.
        statistics: it answers outStatistics and groups.
        tracking: it keeps when each row was edited, and says when the layer was.
        scans: a query by area reads and tests each row; else an index is asked first.
        delay_s: each request takes so much longer, however many come at once.
        requests_per_minute: those that come faster wait for their turn, as with nginx's limit_req; 0: no limit.
    """

    name: str
    about: str
    statistics: bool = False
    tracking: bool = False
    scans: bool = False
    delay_s: float = 0.0
    requests_per_minute: int = 0

    def least_s(self, requests: int, connections: int) -> float:
        """The seconds that so many requests take on this server at least, whoever asks."""
        in_turns = (requests - 1) * 60 / self.requests_per_minute if self.requests_per_minute else 0.0
        return max(in_turns, requests * self.delay_s / connections)


VARIANTS: Mapping[str, Variant] = {
    each.name: each
    for each in (
        Variant("plain", "neither statistics nor HAVING nor editor tracking"),
        Variant("spatial", "as plain; a query by area reads and tests each row", scans=True),
        Variant("statistics", "statistics without HAVING, no editor tracking", statistics=True),
        Variant("tracked", "editor tracking and statistics", statistics=True, tracking=True),
        Variant("latency", "as tracked; 300 ms a request", statistics=True, tracking=True, delay_s=0.3),
        Variant("limited", "as tracked; 30 requests a minute", statistics=True, tracking=True, requests_per_minute=30),
    )
}
#: Those whose seconds are the contestants' own.
UNHINDERED = ("plain", "spatial", "statistics", "tracked")
