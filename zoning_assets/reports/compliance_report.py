"""The numbers of a compliance report: what changed in a jurisdiction in a period, and how the data were obtained.

Changes are read by the queries of `zoning changes`, rejections by those of `zoning rejections`, hosts by those of
`zoning status`. The maps are drawn by map_pairs.py from the same transaction.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from zoning_assets.errors import HarvestMissing
from zoning_assets.model import PARCELS, ZONING, Jurisdiction, Place
from zoning_assets.pipeline.holds import hosts_of
from zoning_assets.reports.map_pairs import MapPair, draw_pairs
from zoning_assets.reports.ordinance_lag import LagStatistics, OrdinanceLags
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.records import (
    amendment_records,
    audit_records,
    change_feed_queries,
    correction_records,
    rate_limits,
)
from zoning_assets.storage.postgis.records.change_feed_queries import ChangeFeed, ChangeFilter
from zoning_assets.storage.postgis.records.report_queries import MOST_ROWS, PeriodRecords
from zoning_assets.transform.changes import explanation

Row = dict[str, Any]

#: The most changes that are listed one by one: of zoning, and of parcels; the largest ones. The summary counts all.
_MOST_ZONING, _MOST_PARCELS = 1_000, 200
#: The states of changes that are counted but not listed.
_OTHER_STATES = ("review", "retracted")


@dataclass(frozen=True)
class ComplianceReport:
    """A report. `numbers` is the document of `zoning report --json`; `maps` are for the HTML only."""

    numbers: Mapping[str, Any]
    maps: Sequence[MapPair] = field(default_factory=tuple)


@dataclass(frozen=True)
class ReportRequest:
    """What a report is about. Both days are included; they begin at midnight UTC.

    `described`: the jurisdiction's file; None: it has none.
    """

    jurisdiction: str
    first_day: date
    last_day: date
    described: Jurisdiction | None = None

    @property
    def start(self) -> datetime:
        """When the period begins."""
        return datetime.combine(self.first_day, time(), UTC)

    @property
    def end(self) -> datetime:
        """When it has ended: midnight after the last day."""
        return datetime.combine(self.last_day, time(), UTC) + timedelta(days=1)

    @property
    def hosts(self) -> list[str]:
        """The hosts of its portals, sorted."""
        return sorted(hosts_of(self.described)) if self.described else []

    @property
    def about(self) -> Row:
        """The jurisdiction as the report names it."""
        return {"id": self.jurisdiction, "name": self.described.name if self.described else self.jurisdiction}


def read_report(url: str, objects: Objects, request: ReportRequest, now: datetime) -> ComplianceReport:
    """Read a report.

    Args:
        url: the database.
        objects: the object store, which has the proofs of harvests.
        request: the jurisdiction and the period.
        now: when the report is made.

    Raises:
        DatabaseUnavailable, StoreError: see errors.py.
    """
    filter_ = ChangeFilter(request.jurisdiction, since=request.start, until=request.end)
    with change_feed_queries.opened(url, filter_) as feed:
        records = PeriodRecords(feed.connection, request.jurisdiction, request.hosts, request.start, request.end)
        lags = OrdinanceLags()
        numbers: Row = {
            "jurisdiction": request.about,
            "period": {"first_day": request.first_day, "last_day": request.last_day},
            "made": now,
            "changes": _changes(feed, lags),
            "releases": records.releases(),
            "harvests": _harvests(objects, records),
            "checks": _checks(records),
            "holds": records.holds(),
            "rollbacks": records.rollbacks(),
            "actions": records.actions(),
            "audit": {**(records.audit_end() or {"rows": 0, "at": None, "hash": None}), "faults": []},
        }
        maps = draw_pairs(records)
    numbers["audit"]["faults"] = audit_records.broken_audit_rows(url)
    numbers["ordinances"] = _ordinances(url, request.jurisdiction, lags)
    numbers["rejections"] = _rejections(url, request.jurisdiction)
    numbers["requests"] = _requests(url, objects, request, now)
    return ComplianceReport(numbers, maps)


def _changes(feed: ChangeFeed, lags: OrdinanceLags) -> Row:
    """The changes: counts, the summary, and the largest ones of zoning and of parcels, each with its explanation."""
    zoning, parcels = list[Row](), list[Row]()
    for change in feed.rows():
        of_parcels = change["facet"] == "parcel"
        if not of_parcels:
            lags.add(change)
        found, most = (parcels, _MOST_PARCELS) if of_parcels else (zoning, _MOST_ZONING)
        found.append(change)
        if len(found) > 2 * most:
            found[:] = _largest(found, most)
    others = {state: replace(feed, filter=replace(feed.filter, state=state)).total() for state in _OTHER_STATES}
    listed = {
        "zoning": [_explained(each) for each in _largest(zoning, _MOST_ZONING)],
        "parcels": [_explained(each) for each in _largest(parcels, _MOST_PARCELS)],
    }
    return {"total": feed.total(), **others, "summary": feed.summary(), **listed}


def _largest(changes: list[Row], most: int) -> list[Row]:
    """The changes with the largest area; of equal ones the newest."""
    return sorted(changes, key=lambda change: -(change["area_m2"] or 0.0))[:most]


def _explained(change: Row) -> Row:
    return {**change, "why": explanation.lines(change)[1:]}


def _harvests(objects: Objects, records: PeriodRecords) -> list[Row]:
    """The publications, each with the proof of completeness of its harvest; None: the proof is no longer stored."""
    return [{**row, "proof": _proof(objects, records.jurisdiction, row)} for row in records.harvests()]


def _proof(objects: Objects, jurisdiction: str, row: Mapping[str, Any]) -> Row | None:
    try:
        harvest = raw_harvests.of(objects, Place(jurisdiction, row["tile"]), row["feed"], row["harvest"])
    except HarvestMissing:
        return None
    return {"harvest": harvest.of or harvest.id, **harvest.proof}


def _checks(records: PeriodRecords) -> list[Row]:
    """The checked releases, each with the sentences of the checks that failed."""
    rows = records.checks()
    for row in rows:
        findings = row.pop("findings")
        row["checks"] = len(findings)
        row["failed"] = [each["sentence"] for each in findings if each["tripped"]]
    return rows


def _ordinances(url: str, jurisdiction: str, lags: OrdinanceLags) -> Row:
    """The lag between ordinance and map, and the adopted amendments that the map does not show now."""
    missing = amendment_records.queue(url, "unmapped", jurisdiction)
    shown = ("id", "case_numbers", "ordinance_numbers", "status", "effective", "days")
    return {
        "by_ordinance": asdict(LagStatistics.of([row["lag_days"] for row in lags.ordinances()])),
        "by_legal_date": asdict(LagStatistics.of(lags.days)),
        "unexplained": lags.unexplained,
        "matched": lags.ordinances()[:MOST_ROWS],
        "not_on_the_map": [{name: row[name] for name in shown} for row in missing[:MOST_ROWS]],
    }


def _rejections(url: str, jurisdiction: str) -> list[Row]:
    """The rows that are rejected now, counted by feed, reason and state."""
    which = dict.fromkeys(("feed", "reason", "tile")) | {"jurisdiction": jurisdiction}
    found = correction_records.groups(url, 0, states=("open", "known"), **which)
    names = ("feed", "reason", "state", "count", "tiles")
    return [{name: row[name] for name in names} for row in found]


def _requests(url: str, objects: Objects, request: ReportRequest, now: datetime) -> Row:
    """The requests of harvests in the period beside the limit of the jurisdiction file, and the totals of its hosts."""
    budgets = rate_limits.read_budgets(url)
    hosts = [
        {"host": host, "sent": known.asked, "refused": known.refused, "failed": known.failed}
        for host, (known, _) in budgets.items()
        if host in request.hosts
    ]
    minutes = max((min(request.end, now) - request.start).total_seconds() / 60, 0.0)
    per_minute = request.described.portal.requests_per_minute if request.described else None
    return {
        "feeds": list(_feed_costs(objects, request)),
        "limit_per_minute": per_minute,
        "limit_of_period": None if per_minute is None else round(per_minute * minutes),
        "hosts": hosts,
    }


def _feed_costs(objects: Objects, request: ReportRequest) -> Iterator[Row]:
    for feed in (PARCELS, ZONING):
        found = raw_harvests.costs(objects, request.jurisdiction, feed, request.start, request.end)
        if found:
            sums = {name: sum(each[name] for each in found) for name in ("requests", "bytes", "seconds")}
            yield {"feed": feed, "runs": len(found), **sums, "seconds": round(sums["seconds"], 1)}
