"""An Atom feed (RFC 4287) for each jurisdiction, written atomically to a folder or an object store."""

import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from lxml import etree

from zoning_assets.errors import DeliveryFailed, SettingInvalid, StoreError
from zoning_assets.settings import Settings
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.records.delivery_records import (
    DeliverySession,
    DeliveryState,
    DeliveryWindow,
    SubscriptionEvent,
)
from zoning_assets.subscriptions.digest import plain, sentence

_ATOM = "http://www.w3.org/2005/Atom"
#: The newest entries that a feed has.
MOST_ENTRIES = 100
#: Names of files. Ids of jurisdictions match it: they come from names of files.
_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


def feed_of(key: str, jurisdiction: str, events: Sequence[SubscriptionEvent]) -> bytes:
    """The feed of a jurisdiction.

    Args:
        key: UUID of the subscription.
        jurisdiction: its id.
        events: the newest first.
    """
    namespaces: dict[Any, str] = {None: _ATOM}  # the default namespace; lxml-stubs knows texts only
    feed = etree.Element(f"{{{_ATOM}}}feed", nsmap=namespaces)
    _add(feed, "id", uuid.uuid5(uuid.UUID(key), jurisdiction).urn)
    _add(feed, "title", f"Zoning changes of {plain(jurisdiction)}")
    _add(feed, "updated", _time(events[0].at if events else datetime.fromtimestamp(0, UTC)))
    _add(etree.SubElement(feed, f"{{{_ATOM}}}author"), "name", "zoning-assets")
    for event in events:
        _add_entry(feed, event)
    return etree.tostring(feed, xml_declaration=True, encoding="UTF-8")


def send(session: DeliverySession, state: DeliveryState, window: DeliveryWindow, _settings: Settings) -> None:
    """Write the feeds of all jurisdictions with events in a window. A repeated delivery writes the same.

    Raises:
        DeliveryFailed: a feed cannot be written.
    """
    try:
        objects = Objects(state.target)
        for jurisdiction in sorted({event.jurisdiction for event in window.events}):
            events = session.recent(window.to, jurisdiction, MOST_ENTRIES)
            if _FILE_NAME.fullmatch(jurisdiction):
                objects.put(f"{jurisdiction}.atom", feed_of(session.subscription.key, jurisdiction, events))
    except (SettingInvalid, StoreError) as error:
        raise DeliveryFailed(error.what, where=error.where, do="check the target; it is written again") from None


def _add_entry(feed: etree._Element, event: SubscriptionEvent) -> None:
    entry = etree.SubElement(feed, f"{{{_ATOM}}}entry")
    text = sentence([event])
    _add(entry, "id", uuid.uuid5(uuid.NAMESPACE_URL, event.id).urn)
    _add(entry, "title", text if len(text) <= 120 else f"{text[:117]}...")
    _add(entry, "updated", _time(event.at))
    for term in (event.action, event.kind):
        etree.SubElement(entry, f"{{{_ATOM}}}category", term=plain(term))
    _add(entry, "content", text).set("type", "text")


def _add(parent: etree._Element, name: str, text: str) -> etree._Element:
    element = etree.SubElement(parent, f"{{{_ATOM}}}{name}")
    element.text = text
    return element


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
