"""Changes in a database without a harvest, and subscriptions to them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tests.conftest import rows
from zoning_assets.settings import Settings
from zoning_assets.storage.postgis.records import subscription_records
from zoning_assets.storage.postgis.records.subscription_records import Subscription, SubscriptionDraft
from zoning_assets.subscriptions import delivery, webhook_signature
from zoning_assets.subscriptions.delivery import DeliveryResult, RetryPolicy

TOWN = "us-ma-town"
#: Of the receivers of tests.
LOOPBACK = ("127.0.0.0/8",)
KEY = webhook_signature.new_key()
#: Two attempts without a wait that a person would notice.
SOON = RetryPolicy(attempts=2, first_s=0.01, timeout_s=5.0)

_RELEASE = """
    INSERT INTO zoning.release (jurisdiction, parcels_from, parcels_to, zoning_from, zoning_to, rules, drift_m, moved,
        tolerance_m, alarms, counts, judged)
    VALUES (%s, 0, 1, 0, 1, '', 0, 0, 1, '{}', '{}', now()) RETURNING id
"""
_CHANGE = """
    INSERT INTO zoning.change (id, jurisdiction, kind, state, facet, parcel_ids, old, new, area_m2, share, confidence,
        detected, evidence, geom, release_id)
    VALUES (%(id)s, %(jurisdiction)s, %(kind)s, %(state)s, %(facet)s, %(parcel_ids)s, %(old)s, %(new)s, %(area_m2)s, 1,
        0.9, now(), %(evidence)s, ST_GeomFromText(%(wkt)s, 4326), %(release)s)
"""
_DEFAULTS: dict[str, Any] = {
    "jurisdiction": TOWN, "kind": "rezoned", "state": "event", "facet": "base", "old": "R-1", "new": "R-2",
    "area_m2": 400.0, "evidence": {}, "wkt": "POLYGON((-71 42, -71 42.001, -70.999 42.001, -71 42))",
}  # fmt: skip


def put(connection: psycopg.Connection, changes: Sequence[dict[str, Any]]) -> None:
    """Store changes in the transaction of a connection; each has `id` and `parcel_ids` at least."""
    release = {name: _release(connection, name) for name in {each.get("jurisdiction", TOWN) for each in changes}}
    values = [{**_DEFAULTS, **each} for each in changes]
    with connection.cursor() as cursor:
        cursor.executemany(
            _CHANGE,
            [
                {**each, "evidence": Jsonb(each["evidence"]), "release": release[each["jurisdiction"]]}
                for each in values
            ],
        )


def _release(connection: psycopg.Connection, jurisdiction: str) -> int:
    row = connection.execute(_RELEASE, [jurisdiction]).fetchone()
    assert row
    return int(row[0])


def tell(url: str, *changes: dict[str, Any]) -> None:
    """Store changes and commit."""
    with psycopg.connect(url) as connection:
        put(connection, changes)


def change(id_: str, *parcels: str, **more: Any) -> dict[str, Any]:
    """A change of parcels."""
    return {"id": id_, "parcel_ids": list(parcels), **more}


def retract(url: str, id_: str, state: str = "retracted") -> None:
    """What a rollback does to a change."""
    rows(url, "UPDATE zoning.change SET state = %s WHERE id = %s RETURNING 1", state, id_)


def subscribe(url: str, sink: str, target: str, name: str = "it", **more: Any) -> Subscription:
    """A subscription."""
    key = KEY if sink == "webhook" else None
    values = {"shown_target": target, "signing_key": key, "allowed_networks": LOOPBACK, **more}
    return subscription_records.add(url, SubscriptionDraft(name, sink, target, **values), "ann")


def deliver(url: str, *, smtp: str | None = None, **more: Any) -> list[DeliveryResult]:
    """Deliver to all subscriptions, without waits."""
    settings = Settings(Path(), "", Path(), smtp_url=smtp, smtp_from="zoning@example.org")
    return asyncio.run(delivery.deliver(url, settings, **{"is_forced": True, "policy": SOON, **more}))
