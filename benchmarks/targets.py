"""The targets of figures: one row each. A figure without a row has no target."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

AT_MOST, AT_LEAST, BELOW = "at most", "at least", "below"


class Target(NamedTuple):
    """The target of the figures whose name matches a pattern.

    Attributes:
        measurement: a name of measurements.MEASUREMENTS.
        figure: the name of a figure, or a pattern of fnmatch.
        how: AT_MOST, AT_LEAST or BELOW.
        value: in the unit of the figure.
        source: where the target comes from.
    """

    measurement: str
    figure: str
    how: str
    value: float
    source: str

    @property
    def text(self) -> str:
        """For people: "at most 105"."""
        return f"{self.how} {self.value:g}"

    def is_met(self, value: float) -> bool:
        """Whether a value meets the target."""
        if self.how == BELOW:
            return value < self.value
        return value <= self.value if self.how == AT_MOST else value >= self.value


_REQUESTS, _SPEED, _FIXED = "issue 14, line 1", "issue 14, line 2", "issue 14, line 3"
_MEMORY = "promise 8 of the design; limits of `zoning bench memory`"
_BENCHMARKS, _CELERY, _NATION = "issue 17, benchmarks", "issue 17, line 1", "issue 17, the nation simulated"

TARGETS: Sequence[Target] = (
    Target("sync", "*, ours: requests", AT_MOST, 105, _REQUESTS),
    Target("sync", "*, ours, nothing changed: requests", AT_MOST, 4, _REQUESTS),
    Target("sync", "*, ours, 100 edited: requests", AT_MOST, 6, _REQUESTS),
    Target("sync", "*, ours: server CPU, times the floor's", AT_MOST, 2.0, _REQUESTS),
    Target("sync", "*, ours: speed, times classic", AT_LEAST, 5.0, _SPEED),
    Target("sync", "*, ours: speed, times ogr2ogr", AT_LEAST, 1.0, _SPEED),
    Target("sync", "*, ours: speed, times floor", AT_LEAST, 0.5, _SPEED),
    Target("sync-small", "*, ours: requests", AT_MOST, 26, _REQUESTS),
    Target("sync-small", "*, ours: speed, times ogr2ogr", AT_LEAST, 0.5, _SPEED),
    Target("sync-variants", "*, ours: requests", AT_MOST, 105, _REQUESTS),
    Target("sync-variants", "statistics, ours, nothing changed: requests", AT_MOST, 4, _REQUESTS),
    Target("sync-variants", "*, ours: server CPU, times the floor's", AT_MOST, 2.0, _REQUESTS),
    Target("sync-slow", "*, ours: requests", AT_MOST, 105, _REQUESTS),
    Target("sync-slow", "*, ours: share of the server's limit", AT_LEAST, 0.9, _SPEED),
    Target("startup", "sync, nothing changed: times import dagster", AT_MOST, 3.0, _FIXED),
    Target("startup", "--help: times import dagster", BELOW, 0.5, _FIXED),
    Target("startup", "status: times import dagster", BELOW, 1.0, _FIXED),
    Target("startup", "changes: times import dagster", BELOW, 1.0, _FIXED),
    Target("memory", "*: peak, times the small county's", AT_MOST, 1.25, _MEMORY),
    Target("memory", "*: peak", BELOW, 900, _MEMORY),
    Target("counties", "*: whole command, times alone, highest", AT_MOST, 1.3, "limit of `zoning bench counties`"),
    Target("many-counties", "the last five, times the first five", AT_MOST, 1.2, _BENCHMARKS),
    Target("wide", "peak memory", BELOW, 900, _MEMORY),
    Target("backfill", "Dagster's share", BELOW, 10, _BENCHMARKS),
    Target("backfill-auto", "Dagster's share", BELOW, 10, _BENCHMARKS),
    Target("probes", "*: requests", AT_MOST, 3, "promise of `zoning probe`"),
    Target("tiles", "*: 95 of 100 tiles", BELOW, 100, "issue 16, map"),
    Target("truth", "Cambridge, * to *: precision", AT_LEAST, 1.0, "docs/explanation/change-detection.md"),
    Target("truth", "Cambridge, * to *: recall", AT_LEAST, 1.0, "docs/explanation/change-detection.md"),
    Target("changes", "drift of * m: precision", AT_LEAST, 1.0, "docs/explanation/change-detection.md"),
    Target("changes", "drift of * m: recall", AT_LEAST, 1.0, "docs/explanation/change-detection.md"),
    Target("week", "requests a probe, most", AT_MOST, 3, "promise of `zoning probe`"),
    Target("week", "faults", AT_MOST, 0, "limits of `zoning bench week`"),
    Target("chaos", "incorrect cells", AT_MOST, 0, "promise 1 of the design"),
    Target("nation", "requests of a host in a minute, most", AT_MOST, 30, _NATION),
    Target("nation", "sensor *: longest tick", BELOW, 60, _NATION),
    Target("nation", "faults", AT_MOST, 0, _NATION),
    Target("onboard", "requests to a portal in a minute, most", AT_MOST, 30, _BENCHMARKS),
    Target("celery", "4 workers: speed, times the first", AT_LEAST, 3.0, _CELERY),
    Target("celery", "* within a budget: requests in a minute, most", AT_MOST, 30, _CELERY),
    Target("celery", "* within a budget: requests at once, most", AT_MOST, 2, _CELERY),
)


def target_of(measurement: str, figure: str) -> Target | None:
    """The target of a figure; None: it has none."""
    own = (each for each in TARGETS if each.measurement == measurement)
    return next((each for each in own if fnmatchcase(figure, each.figure)), None)
