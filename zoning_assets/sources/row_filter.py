"""The clause `where` of a feed, as far as the feed types share it: a feed may be a part of a layer.

The clause is the operator's own text. It is sent only as the value of one query parameter, and each feed type sends it
with everything that it asks about rows: pages, counts, lists of ids, statistics. So the proof that a harvest is
complete is relative to the part.
"""

from zoning_assets.errors import FeedRefused, JurisdictionInvalid, ZoningError
from zoning_assets.sources.source import Request


def contradiction(clause: str) -> str:
    """A clause that no row meets. A server that returns rows for it ignores clauses."""
    return f"({clause}) AND NOT ({clause})"


def refused(request: Request, error: ZoningError) -> FeedRefused:
    """The error if the portal refuses the clause; a refusal that would be the same without it is returned as it is."""
    if request.feed.where is None or getattr(error, "final", False):
        return error if isinstance(error, FeedRefused) else _refusal(request, error.what)
    return _refusal(request, f"the portal refuses it: {error.what}")


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
