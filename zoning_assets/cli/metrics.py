"""`zoning metrics`: what `zoning status` says, for Prometheus. Nothing is counted in processes, which come and go:
every number is the database's, read when it is asked for.
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
    address: Annotated[str, typer.Option(help="Where to listen; the default is this machine alone.")] = "127.0.0.1",
) -> None:
    """Print what `status` says as Prometheus wants it, or serve it."""
    url = bootstrap.bring_up_database()
    if port is None:
        print(generate_latest(_registry(url)).decode(), end="")  # noqa: T201 - the result itself, no line for people
        return
    output.line(f"{serve(url, port, address)}; Ctrl-C stops")
    while True:
        time.sleep(3600)


def serve(url: str, port: int, address: str = "127.0.0.1") -> str:
    """Serve the metrics from a thread while this process lives; where.

    Raises:
        StoreError: nobody can listen there.
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
    """Reads how everything stands, whenever it is collected."""

    def __init__(self, url: str) -> None:
        self.url = url

    def collect(self) -> Iterator[Metric]:
        """The metrics; where the database does not answer only that it does not."""
        from zoning_assets.cli.health import read_status  # noqa: PLC0415

        try:
            system = read_status(self.url, bootstrap.settings(), datetime.now(UTC))
            found = [*_jurisdictions(system), *_hosts(system), *_queues(system), *_totals(self.url)]
            needs: int | None = len(system.needs())
        except StoreError:
            found, needs = [], None
        yield _gauge("up", "Whether the database answers.", (), [((), needs is not None)])
        yield _gauge("needs", "What needs a person: `zoning status` says what.", (), [((), needs)])
        yield from found


def _jurisdictions(system: "SystemStatus") -> Iterator[Metric]:
    rows = [row for row in system.jurisdictions() if row["last_batch"] or row["id"] in system.mine]
    for name, key, about in (
        ("parcels", "parcels", "Parcels that stand."),
        ("fresh", "fresh", "Whether the published data was confirmed as current within the freshness limit."),
        ("last_batch_timestamp_seconds", "last_batch", "When something was published last."),
        ("current_timestamp_seconds", "current", "When what stands was last found to be what the portal has."),
        ("next_probe_timestamp_seconds", "next_probe", "When the portal is asked next whether anything changed."),
    ):
        yield _gauge(name, about, ("jurisdiction",), [((row["id"],), row[key]) for row in rows])
    limits = [((row["id"],), hours * 3600) for row in rows if (hours := row["freshness_hours"])]
    about = "The freshness limit: within this time the published data must be confirmed as current."
    yield _gauge("freshness_seconds", about, ("jurisdiction",), limits)
    yield _gauge("promise_seconds", "Deprecated: the old name of zoning_freshness_seconds.", ("jurisdiction",), limits)
    held = [((row["id"], state), count) for row in rows for state, count in row["rejections"].items()]
    yield _gauge("rejections", "Rows held back.", ("jurisdiction", "state"), held)
    failed = [((row["id"], state), row[state]) for row in rows for state in ("waiting", "dead")]
    yield _gauge("failures", "Partitions that failed: asked for again, or left to a person.", _FAILED, failed)
    alarms = [((row["id"],), len(row["alarms"])) for row in rows]
    yield _gauge("alarms", "What speaks against a map that waits for a person.", ("jurisdiction",), alarms)
    pauses = [((hold.what,), 1) for hold in system.holds]
    yield _gauge("paused", "What a person has paused.", ("what",), pauses)
    waits = [((each["jurisdiction"], each["feed"]), 1) for each in system.held]
    yield _gauge("held", "Releases that a tripwire holds back.", ("jurisdiction", "feed"), waits)


_FAILED = ("jurisdiction", "state")


def _hosts(system: "SystemStatus") -> Iterator[Metric]:
    from zoning_assets.cli.status import PARTS  # noqa: PLC0415

    rows = PARTS["hosts"](system)
    for key, about in (("asked", "Requests."), ("refused", "Requests refused."), ("failed", "Requests that failed.")):
        yield _counter(f"host_{key}", about, ("host",), [((row["host"],), row[key]) for row in rows])
    budgets = [((row["host"],), row["budget_per_minute"]) for row in rows]
    yield _gauge("host_budget_per_minute", "Requests that the host is asked at most.", ("host",), budgets)
    breakers = [((row["host"],), row["breaker"] != "closed") for row in rows]
    yield _gauge("host_breaker_open", "Whether the host is left in peace.", ("host",), breakers)


def _queues(system: "SystemStatus") -> Iterator[Metric]:
    states = ("ready", "leased", "dead")
    depths = [((row["name"], state), row[state]) for row in system.queues for state in states]
    yield _gauge("queue_messages", "Messages.", ("queue", "state"), depths)
    oldest = [((row["name"],), row["oldest_s"]) for row in system.queues]
    yield _gauge("queue_oldest_seconds", "How long the oldest message waits.", ("queue",), oldest)


def _totals(url: str) -> Iterator[Metric]:
    from zoning_assets.storage.postgis.records import status_queries  # noqa: PLC0415

    done = status_queries.batches(url)
    yield _counter("batches", "Published batches.", ("jurisdiction", "feed"), [(row[:2], row[2]) for row in done])
    names = ("added", "changed", "retired")
    rows = [((*row[:2], name), count) for row in done for name, count in zip(names, row[3:], strict=True)]
    yield _counter("rows", "Rows by what became of them.", ("jurisdiction", "feed", "what"), rows)
    told = [(row[:3], row[3]) for row in status_queries.changes(url)]
    yield _gauge("changes", "Typed events, also those that were retracted.", ("jurisdiction", "kind", "state"), told)


def _gauge(name: str, about: str, labels: Sequence[str], samples: Sequence[_Sample]) -> Metric:
    return _filled(GaugeMetricFamily(f"zoning_{name}", about, labels=labels), samples)


def _counter(name: str, about: str, labels: Sequence[str], samples: Sequence[_Sample]) -> Metric:
    return _filled(CounterMetricFamily(f"zoning_{name}", about, labels=labels), samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Sequence[_Sample]) -> Metric:
    """What is not known has no sample."""
    for labels, value in samples:
        if value is not None:
            family.add_metric(labels, value.timestamp() if isinstance(value, datetime) else float(value))
    return family
