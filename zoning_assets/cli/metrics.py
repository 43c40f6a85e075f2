"""`zoning metrics`: the values of `zoning status` for Prometheus.

No process keeps counters: every value is read from the database when it is requested.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.errors import StoreError

if TYPE_CHECKING:
    from zoning_assets.cli.health import SystemStatus

_Sample = tuple[Sequence[str], Any]


def metrics(
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Serve them at http://ADDRESS:PORT/metrics until Ctrl-C.")
    ] = None,
    address: Annotated[str, typer.Option(help="The address to listen at; by default only this machine.")] = "127.0.0.1",
) -> None:
    """Print the values of `zoning status` in the Prometheus format, or serve them."""
    url = bootstrap.bring_up_database()
    if port is None:
        print(generate_latest(_registry(url)).decode(), end="")  # noqa: T201 - the result itself
        return
    output.line(f"{serve(url, port, address)}; Ctrl-C stops")
    while True:
        time.sleep(3600)


def serve(url: str, port: int, address: str = "127.0.0.1") -> str:
    """Serve the metrics from a thread until this process ends; return the URL.

    Raises:
        StoreError: the port cannot be opened.
    """
    try:
        start_http_server(port, address, _registry(url))
    except OSError as error:
        what, do = error.strerror or str(error), "give another with --port or --address"
        raise StoreError(what, where=f"{address}:{port}", do=do) from error
    return f"http://{address}:{port}/metrics"


def _registry(url: str) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(StatusCollector(url))
    return registry


class StatusCollector(Collector):
    """Reads the state of the database at each collection."""

    def __init__(self, url: str) -> None:
        self.url = url

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; only `zoning_up` has a value if the database does not answer."""
        from zoning_assets.cli.health import read_status  # noqa: PLC0415

        try:
            system = read_status(self.url, bootstrap.settings(), datetime.now(UTC))
            found = [*_jurisdictions(system), *_hosts(system), *_queues(system), *_totals(self.url)]
            needs: int | None = len(system.needs())
        except StoreError:
            found, needs = [], None
        yield _gauge("up", "Whether the database answers.", (), [((), needs is not None)])
        yield _gauge("needs", "Number of problems that need a person; `zoning status` lists them.", (), [((), needs)])
        yield from found


def _jurisdictions(system: "SystemStatus") -> Iterator[Metric]:
    rows = [row for row in system.jurisdictions() if row["last_batch"] or row["id"] in system.mine]
    for name, key, about in (
        ("parcels", "parcels", "Published parcels."),
        ("fresh", "fresh", "Whether the published data was confirmed as current within the freshness limit."),
        ("last_batch_timestamp_seconds", "last_batch", "When the last batch was published."),
        ("current_timestamp_seconds", "current", "When the published data was last confirmed as current."),
        ("next_probe_timestamp_seconds", "next_probe", "When the portal is probed next."),
    ):
        yield _gauge(name, about, ("jurisdiction",), [((row["id"],), row[key]) for row in rows])
    limits = [((row["id"],), hours * 3600) for row in rows if (hours := row["freshness_hours"])]
    about = "The freshness limit: within this time the published data must be confirmed as current."
    yield _gauge("freshness_seconds", about, ("jurisdiction",), limits)
    yield _gauge("promise_seconds", "Deprecated: the old name of zoning_freshness_seconds.", ("jurisdiction",), limits)
    held = [((row["id"], state), count) for row in rows for state, count in row["rejections"].items()]
    yield _gauge("rejections", "Rejected rows.", ("jurisdiction", "state"), held)
    failed = [((row["id"], state), row[state]) for row in rows for state in ("waiting", "dead")]
    yield _gauge("failures", "Failed partitions: waiting for a retry, or dead.", _FAILED, failed)
    alarms = [((row["id"],), len(row["alarms"])) for row in rows]
    yield _gauge("alarms", "Alarms of a zoning map that waits for a decision.", ("jurisdiction",), alarms)
    pauses = [((hold.what,), 1) for hold in system.holds]
    yield _gauge("paused", "Pauses.", ("what",), pauses)
    waits = [((each["jurisdiction"], each["feed"]), 1) for each in system.held]
    yield _gauge("held", "Releases that a tripwire holds back.", ("jurisdiction", "feed"), waits)


_FAILED = ("jurisdiction", "state")


def _hosts(system: "SystemStatus") -> Iterator[Metric]:
    from zoning_assets.cli.status import PARTS  # noqa: PLC0415

    rows = PARTS["hosts"](system)
    for key, about in (("asked", "Requests."), ("refused", "Requests refused."), ("failed", "Requests that failed.")):
        yield _counter(f"host_{key}", about, ("host",), [((row["host"],), row[key]) for row in rows])
    budgets = [((row["host"],), row["budget_per_minute"]) for row in rows]
    yield _gauge("host_budget_per_minute", "Maximum number of requests per minute to the host.", ("host",), budgets)
    breakers = [((row["host"],), row["breaker"] != "closed") for row in rows]
    yield _gauge("host_breaker_open", "Whether the circuit breaker of the host is open.", ("host",), breakers)


def _queues(system: "SystemStatus") -> Iterator[Metric]:
    states = ("ready", "leased", "dead")
    depths = [((row["name"], state), row[state]) for row in system.queues for state in states]
    yield _gauge("queue_messages", "Messages in the queue.", ("queue", "state"), depths)
    oldest = [((row["name"],), row["oldest_s"]) for row in system.queues]
    yield _gauge("queue_oldest_seconds", "Age of the oldest message.", ("queue",), oldest)


def _totals(url: str) -> Iterator[Metric]:
    from zoning_assets.storage.postgis.records import status_queries  # noqa: PLC0415

    done = status_queries.batches(url)
    yield _counter("batches", "Published batches.", ("jurisdiction", "feed"), [(row[:2], row[2]) for row in done])
    names = ("added", "changed", "retired")
    rows = [((*row[:2], name), count) for row in done for name, count in zip(names, row[3:], strict=True)]
    yield _counter("rows", "Rows that were added, changed or retired.", ("jurisdiction", "feed", "what"), rows)
    changes = [(row[:3], row[3]) for row in status_queries.changes(url)]
    yield _gauge("changes", "Changes, including retracted ones.", ("jurisdiction", "kind", "state"), changes)


def _gauge(name: str, about: str, labels: Sequence[str], samples: Sequence[_Sample]) -> Metric:
    return _filled(GaugeMetricFamily(f"zoning_{name}", about, labels=labels), samples)


def _counter(name: str, about: str, labels: Sequence[str], samples: Sequence[_Sample]) -> Metric:
    return _filled(CounterMetricFamily(f"zoning_{name}", about, labels=labels), samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Sequence[_Sample]) -> Metric:
    """Add the samples; unknown values are left out."""
    for labels, value in samples:
        if value is not None:
            family.add_metric(labels, value.timestamp() if isinstance(value, datetime) else float(value))
    return family
