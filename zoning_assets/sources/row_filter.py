"""The clause `where` of a feed, as far as the feed types share it: a feed may be a part of a layer.

The clause is the operator's own text. It is sent only as the value of one query parameter, and each feed type sends it
with everything that it asks about rows: pages, counts, lists of ids, statistics. So the proof that a harvest is
complete is relative to the part.
"""

from zoning_assets.errors import FeedRefused, JurisdictionInvalid, PortalError, PortalUnreachable
from zoning_assets.sources.source import Request


def contradiction(clause: str) -> str:
    """A clause that no row meets. A server that returns rows for it ignores clauses."""
    return f"({clause}) AND NOT ({clause})"


def refused(request: Request, error: PortalError) -> PortalError:
    """The error of a request with the clause, if the feed has one: the portal refuses it, or fails on it (tipg answers
    500 if a column does not exist). A refusal that would be the same without the clause is returned as it is."""
    if request.feed.where is None or getattr(error, "final", False):
        return error
    if isinstance(error, FeedRefused):
        return _refusal(request, f"the portal refuses it: {error.what}")
    do = f"check `where` of feeds.{request.feed.name} in the file, or try again later"
    what = f'where = "{request.feed.where}": the portal fails on it: {error.what}'
    return PortalUnreachable(what, where=request.where, do=do, wait_s=error.wait_s)


def ignored(request: Request) -> FeedRefused:
    """The error if the portal ignores the clause, and returns rows that do not meet it."""
    return _refusal(request, "the portal ignores it, and returns other rows too")


def unsupported(request: Request, why: str) -> JurisdictionInvalid:
    """The error for a feed whose rows cannot be selected at all."""
    return JurisdictionInvalid(
        f"feeds.{request.feed.name}.where: {why}",
        where=request.jurisdiction.file,
        do="leave it out, or use another feed",
    )


def _refusal(request: Request, why: str) -> FeedRefused:
    what = f'where = "{request.feed.where}": {why}'
    return FeedRefused(
        what, where=request.where, do=f"fix `where` of feeds.{request.feed.name} in the file", final=True
    )
