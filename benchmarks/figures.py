"""The figures in the JSON documents of `zoning bench`: one function for each form of document."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_MB = 1e6
Document = Mapping[str, Any]


class Figure(NamedTuple):
    """One number. `name` is unique in its measurement."""

    name: str
    value: float
    unit: str


def listed(document: Document) -> Iterator[Figure]:
    """The figures that a document lists itself, as rows of `figure`, `value` and `unit`."""
    for each in document["figures"]:
        yield Figure(each["figure"], each["value"], each["unit"])


def sync(document: Document) -> Iterator[Figure]:
    """`zoning bench sync`: seconds, cost and ratios of each contestant on each variant of the server."""
    for variant in document["variants"]:
        floor = next((each for each in variant["contestants"] if each["contestant"] == "floor"), None)
        for each in variant["contestants"]:
            yield from _contestant(f"{variant['variant']}, {each['contestant']}", each, floor)


def _contestant(name: str, each: Document, floor: Document | None) -> Iterator[Figure]:
    yield Figure(f"{name}: whole command", each["seconds"], "s")
    yield Figure(f"{name}: requests", each["requests"], "")
    yield Figure(f"{name}: requests for the map", each["map_requests"], "")
    yield Figure(f"{name}: server CPU", each["server_cpu_s"], "s")
    yield Figure(f"{name}: peak memory", each["peak_bytes"] / _MB, "MB")
    if not name.endswith(", ours"):
        return
    for other in ("classic", "ogr2ogr", "floor"):
        if each[f"times_{other}"] is not None:
            yield Figure(f"{name}: speed, times {other}", each[f"times_{other}"], "")
    if each["of_limit"] is not None:
        yield Figure(f"{name}: share of the server's limit", each["of_limit"], "")
    if floor and floor["server_cpu_s"]:
        yield Figure(f"{name}: server CPU, times the floor's", each["server_cpu_s"] / floor["server_cpu_s"], "")


def memory(document: Document) -> Iterator[Figure]:
    """`zoning bench memory`."""
    for each in document["figures"]:
        name = f"{each['command']} ({each['feed_type']}), {each['parcels']:,} parcels"
        yield Figure(f"{name}: peak", each["total"] / _MB, "MB")
        yield Figure(f"{name}: whole command", each["seconds"], "s")
    for each in document["growth"]:
        yield Figure(f"{each['command']} ({each['feed_type']}): peak, times the small county's", each["ratio"], "")


def export(document: Document) -> Iterator[Figure]:
    """`zoning bench export`."""
    for each in document["figures"]:
        name = f"{each['format']}, {each['parcels']:,} parcels, {each['contestant']}"
        yield Figure(f"{name}: whole command", each["seconds"], "s")
        yield Figure(f"{name}: CPU", each["cpu_s"], "s")
        yield Figure(f"{name}: peak memory", each["peak_bytes"] / _MB, "MB")
        yield Figure(f"{name}: file", each["file_bytes"] / _MB, "MB")


def counties(document: Document) -> Iterator[Figure]:
    """`zoning bench counties`."""
    for each in document["ratios"]:
        name = each["variant"]
        yield Figure(f"{name}: whole command, times alone, median", each["whole_times"], "")
        yield Figure(f"{name}: whole command, times alone, highest", each["whole_most"], "")
        yield Figure(f"{name}: publishing transactions, times alone", each["publish_times"], "")
        yield Figure(f"{name}: rows read, times alone", each["rows_times"], "")


def truth(document: Document) -> Iterator[Figure]:
    """`zoning bench truth`."""
    for each in document["cambridge_zoning"]:
        name = f"Cambridge, {each['from']} to {each['to']}"
        yield Figure(f"{name}: parcels with another zone", each["true"], "")
        yield Figure(f"{name}: precision", each["precision"], "")
        yield Figure(f"{name}: recall", each["recall"], "")
    parcels = document["cambridge_parcels"]
    lost = "added or removed parcels without an event"
    yield Figure(f"Cambridge, parcels FY2013 to FY2014: {lost}", parcels["added_or_removed_and_not_told"], "")


def changes(document: Document) -> Iterator[Figure]:
    """`zoning bench changes`."""
    overlay = document["overlay"]
    yield Figure(f"overlay of {document['lots']:,} lots", overlay["seconds"], "s")
    yield Figure("overlay of 1% of the districts", overlay["update_seconds"], "s")
    for each in document["releases"]:
        name = f"drift of {each['drift_m']} m"
        yield Figure(f"{name}: precision", each["precision"], "")
        yield Figure(f"{name}: recall", each["recall"], "")
        yield Figure(f"{name}: exact lineage", each["lineage_exact"], "")
        yield Figure(f"{name}: zoning changes", each["zoning_seconds"], "s")
        yield Figure(f"{name}: lineage", each["lineage_seconds"], "s")


def week(document: Document) -> Iterator[Figure]:
    """`zoning bench week`."""
    yield Figure("changes that were published", document["changes"], "")
    yield Figure("delay of a change, most", document["lag_hours_most"], "h")
    yield Figure("probes", document["probes"], "")
    yield Figure("requests a probe, most", document["requests_a_probe_most"], "")
    yield Figure("requests", document["requests"], "")
    yield Figure("faults", len(document["faults"]), "")


def chaos(document: Document) -> Iterator[Figure]:
    """`zoning bench chaos`."""
    for name in ("cells", "exact", "refused"):
        yield Figure(name, document[name], "")
    yield Figure("incorrect cells", len(document["failed"]), "")


def pbf(document: Document) -> Iterator[Figure]:
    """`zoning bench pbf`."""
    for each in document["forms"]:
        yield Figure(f"{each['form']}: rows decoded", each["rows_per_s"], "rows/s")
        yield Figure(f"{each['form']}: bytes after gzip, of JSON's", each["bytes_sent_of_json"], "")


def nation(document: Document) -> Iterator[Figure]:
    """`zoning bench nation`."""
    for name in ("portals", "hosts", "tile_keys", "runs", "runs_failed", "releases", "releases_published"):
        yield Figure(name.replace("_", " "), document[name], "")
    yield Figure("requests of a host in a minute, most", document["most_a_minute"], "")
    yield Figure("from release to publication, median", document["release_to_published_hours"]["median"], "h")
    yield Figure("waiting runs, most", document["queue_depth"]["max"], "")
    for each in document["sensors"]:
        yield Figure(f"sensor {each['sensor']}: longest tick", each["max_s"], "s")
        yield Figure(f"sensor {each['sensor']}: CPU of a tick, median", each["cpu_median_s"], "s")
    for each in document["year"]:
        name = f"a year, {each['slots']} runs at once"
        yield Figure(f"{name}: harvests", each["harvests"], "")
        yield Figure(f"{name}: from release to publication, 95 of 100", each["release_to_published_hours"]["p95"], "h")
        yield Figure(f"{name}: waiting runs, most", each["queue_depth"]["max"], "")
    for each in document["cold"]:
        yield Figure(f"first harvest of all, {each['slots']} runs at once", each["days"], "days")
    yield Figure("faults", len(document["faults"]), "")


def celery(document: Document) -> Iterator[Figure]:
    """`zoning bench celery`."""
    for each in document["work"]:
        name = f"{each['workers']} worker{'' if each['workers'] == 1 else 's'}"
        yield Figure(f"{name}: {document['counties']} counties", each["seconds"], "s")
        yield Figure(f"{name}: speed, times the first", each["speed_up"], "")
        yield Figure(f"{name}: runs", each["runs"], "")
        yield Figure(f"{name}: until the workers are ready", each["ready_s"], "s")
    budget = document["budget"]
    name = f"{budget['workers']} workers within a budget"
    yield Figure(f"{name}: requests", budget["requests"], "")
    yield Figure(f"{name}: requests in a minute, most", budget["most_a_minute"], "")
    yield Figure(f"{name}: requests at once, most", budget["most_at_once"], "")


def onboard(document: Document) -> Iterator[Figure]:
    """`zoning bench onboard`."""
    yield Figure(f"{document['portals']} portals", document["seconds"], "s")
    yield Figure("the same addresses one after the other", document["in_turn_s"], "s")
    yield Figure("requests", document["requests"], "")
    yield Figure("requests to a portal in a minute, most", document["most_a_minute"], "")
    yield Figure("peak memory", document["memory_mib"], "MiB")
