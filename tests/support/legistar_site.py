"""A Legistar site on loopback that answers as its Web API is documented (https://webapi.legistar.com/Help), with the
limits of the real one: at most so many objects an answer, and filters in OData 3."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Object = Mapping[str, Any]
_FILTER = re.compile(r"(\w+)LastModifiedUtc ge datetime'([\d:T-]+)' and (\w+)Id gt (-?\d+)")


def matter(number: int, title: str, edited: str = "2026-11-10T09:00:00", **more: Any) -> Object:
    """An object of /matters, with the fields that are read and some of the others."""
    known = {
        "MatterId": number, "MatterGuid": f"0000-{number}", "MatterLastModifiedUtc": edited,
        "MatterRowVersion": "AAAA=", "MatterFile": f"Z-26-{number:03}", "MatterName": None, "MatterTitle": title,
        "MatterTypeName": "Ordinance",
        "MatterStatusName": "In Committee", "MatterIntroDate": "2026-10-01T00:00:00", "MatterPassedDate": None,
        "MatterEnactmentDate": None, "MatterEnactmentNumber": None,
    }  # fmt: skip
    return {**known, **more}


def history(number: int, action: str, flag: str | None = "Pass", day: str = "2026-11-09T00:00:00") -> Object:
    """An object of /matters/ID/histories."""
    return {
        "MatterHistoryId": number, "MatterHistoryActionName": action, "MatterHistoryPassedFlagName": flag,
        "MatterHistoryActionBodyName": "City Council", "MatterHistoryActionDate": day,
    }  # fmt: skip


def event_item(number: int, of: Object) -> Object:
    """An object of /events/ID/eventitems that acts on a matter."""
    return {
        "EventItemId": number, "EventItemMatterId": of["MatterId"], "EventItemMatterFile": of["MatterFile"],
        "EventItemMatterName": None, "EventItemTitle": of["MatterTitle"], "EventItemActionName": "adopted",
    }  # fmt: skip


@dataclass
class LegistarDesk:
    """The site: what it has, and what it was asked (paths, with the query of lists)."""

    matters: Sequence[Object] = ()
    histories: Mapping[int, Sequence[Object]] = field(default_factory=dict)
    events: Sequence[Object] = ()
    items: Mapping[int, Sequence[Object]] = field(default_factory=dict)
    most: int = 1_000
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/layer/")
        self.asked.append((path, dict(request.query)))
        parts = path.split("/")
        if path in ("matters", "events"):
            return web.json_response(self._edited(path, request.query))
        if parts[0] == "matters" and len(parts) == 2:
            known = {each["MatterId"]: each for each in self.matters}
            return web.json_response(known.get(int(parts[1])), status=200 if int(parts[1]) in known else 404)
        found = self.histories if parts[2] == "histories" else self.items
        return web.json_response(list(found.get(int(parts[1]), ())))

    def _edited(self, kind: str, query: Mapping[str, str]) -> list[Object]:
        parsed = _FILTER.fullmatch(query["$filter"])
        assert parsed, query
        prefix, since, key, last = parsed.groups()
        assert (prefix, query["$orderby"]) == (key, f"{key}Id")
        found = [
            each
            for each in (self.matters if kind == "matters" else self.events)
            if each[f"{prefix}LastModifiedUtc"] >= since and each[f"{key}Id"] > int(last)
        ]
        return sorted(found, key=lambda each: each[f"{key}Id"])[: min(self.most, int(query["$top"]))]
