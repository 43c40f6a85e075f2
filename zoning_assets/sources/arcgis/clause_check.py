"""Check that an ArcGIS server accepts and obeys the clause `where` of a feed."""

from zoning_assets.errors import FeedRefused, PortalUnreachable
from zoning_assets.sources import row_filter
from zoning_assets.sources.arcgis.query_client import EVERY_ROW, QueryClient


async def check_clause(service: QueryClient) -> None:
    """Ask for the number of rows that meet the clause and its opposite, which must be 0.

    Some servers do not count, and some know no NOT; then it is enough that a row can be requested with the clause.

    Raises:
        FeedRefused: the server refuses the clause, or ignores it.
        PortalError: see errors.py.
    """
    clause = service.request.feed.where
    if clause is None:
        return
    try:
        value, _ = await service.query({"where": f"NOT ({clause})", "returnCountOnly": "true"})
        if type(value.get("count")) is int and value["count"] > 0:
            raise row_filter.ignored(service.request)
    except (FeedRefused, PortalUnreachable) as refusal:
        if getattr(refusal, "final", False):
            raise
        try:
            await service.query({**EVERY_ROW, "outFields": "*", "returnGeometry": "false", "resultRecordCount": "1"})
        except (FeedRefused, PortalUnreachable) as again:
            raise row_filter.refused(service.request, again) from again
