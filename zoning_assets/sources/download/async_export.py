"""Files that a portal makes on request: it answers that the file is not ready, and is polled.

They are recognised by the answer, not by the address: HTTP 202; a small JSON document that describes a job (ArcGIS Hub:
`status`, `resultUrl`); a `Location`; or a `token`. The portal is polled at most twelve times, with growing waits and
jitter. What belongs here: the polling. What does not: the content of the file.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import orjson

from zoning_assets.errors import FeedRefused, PortalBusy
from zoning_assets.http import Response, retry_after_s
from zoning_assets.redaction import without_secrets
from zoning_assets.sources.download.resumable_file import ResumableFile
from zoning_assets.sources.source import Request

MOST_POLLS = 12
_FIRST_WAIT_S, _LONGEST_WAIT_S = 5.0, 60.0
#: If a portal asks for a longer wait between two polls, the download fails; seconds.
_LONGEST_RETRY_AFTER_S = 300.0
_MOST_LEADS = 3  # addresses that lead to another address
_LARGEST_JOB = 64 << 10
_FAILED = {"failed", "failure", "error", "completedwitherrors", "canceled", "cancelled", "timedout"}
_LATER = re.compile(
    r"pending|queued|accepted|locked|inprogress|export(ing)?(data|attachments)|[a-z]+ingdata|processing"
)
_RESULT = ("resulturl", "downloadurl", "download_url", "result_url")
_STATUS_AT = ("statusurl", "status_url", "joburl", "job_url")
_MADE = ("cachetime", "cachemodified", "filemodified", "lastmodified", "last_modified")
_SOURCE = ("sourcelasteditdate", "lasteditdate", "itemmodified", "item_modified", "sourcemodified", "modified")


@dataclass(frozen=True)
class Job:
    """The state of a file that a portal is making."""

    status: str
    result: str | None  # the file's address, when it is ready
    status_at: str | None  # the address of the next poll, if it is another
    stale: str | None  # why the file is older than the layer, if the portal states it
    failed: bool = False


async def fetch(
    request: Request, part_of: Callable[[str], ResumableFile]
) -> tuple[Response, ResumableFile, dict[str, Any]]:
    """Request the file, and poll until it is ready.

    Args:
        request: the feed.
        part_of: returns the local file for an address.

    Returns:
        The response, the local file (the caller closes it), and what the portal stated about the export.

    Raises:
        PortalBusy: it is not ready after twelve polls.
        FeedRefused: the portal failed to make it, or it is on another site.
        PortalError, FileRefused: see Client.fetch.
        Stopping: this program was asked to stop.
    """
    address, stated, polls, leads = request.feed.url, dict[str, Any](), 0, 0
    while polls <= MOST_POLLS and leads <= _MOST_LEADS:
        if stopping := request.http.stopped(request.where):
            raise stopping
        part = part_of(address)
        try:
            answer = await request.http.fetch(request.jurisdiction.portal, address, part)
            job = job_of(answer, part)
        except BaseException:
            part.close()
            raise
        if job is None:
            return answer, part, stated
        with closing(part):
            part.forget()
        stated |= {"export": job.status} | ({"stale export": job.stale} if job.stale else {})
        address = _next(job, answer, address, request.where)
        polls, leads = (polls, leads + 1) if job.result else (polls + 1, leads)
        if polls <= MOST_POLLS and not job.result:
            await request.http.sleep(_wait_s(answer, polls, request))
    raise PortalBusy(
        f"the portal is still making the file after {polls - 1} polls: {stated['export']}",
        where=f"{request.where}: {without_secrets(address)}",
        do="run again in some minutes; what was published before is kept",
    )


def job_of(answer: Response, part: ResumableFile) -> Job | None:
    """The job that an answer describes; None: the answer is the file."""
    if answer.status == 304:
        return None
    if answer.status == 202:
        return _job(_flat(answer.body), "accepted")
    if part.size > _LARGEST_JOB:
        return None
    members = _flat(part.path.read_bytes())
    if members.keys() & {"features", "geometry", "arcs"}:
        return None
    status = str(members.get("status", "")).casefold()
    has_address = any(_text(members, name) for name in (*_RESULT, *_STATUS_AT))
    return _job(members, status) if has_address or (status in _FAILED or _LATER.fullmatch(status)) else None


def _job(members: Mapping[str, Any], status: str) -> Job:
    """A job whose result has an address is finished, whatever its status is."""
    named = str(members.get("status") or status)[:40]
    token = _text(members, ("token", "jobid", "job_id"))
    return Job(
        status=named,
        result=_text(members, _RESULT),
        status_at=_text(members, _STATUS_AT) or (f"?{urlencode({'token': token})}" if token else None),
        stale=_stale(members, named),
        failed=named.casefold() in _FAILED,
    )


def _flat(body: bytes) -> dict[str, Any]:
    """The members of a small JSON document and of its `data` and `attributes`, by lower-case name."""
    try:
        document = orjson.loads(body) if body[:1] in (b"{", b" ", b"\n") and len(body) <= _LARGEST_JOB else {}
    except orjson.JSONDecodeError:
        return {}
    return {name.casefold(): value for each in _nested(document) for name, value in each.items()}


def _nested(document: Any, depth: int = 3) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict) and depth:
        for name in ("data", "attributes", "cache", "source"):
            yield from _nested(document.get(name), depth - 1)
        yield document


def _text(members: Mapping[str, Any], names: tuple[str, ...] | str) -> str | None:
    names = (names,) if isinstance(names, str) else names
    return next((members[name] for name in names if isinstance(members.get(name), str) and members[name]), None)


def _stale(members: Mapping[str, Any], status: str) -> str | None:
    """Why the file is older than the layer, if the portal states it."""
    if "stale" in {status.casefold(), str(members.get("cachestatus", "")).casefold()}:
        return "the portal states that its file is older than its layer"
    made, source = (_moment(members, names) for names in (_MADE, _SOURCE))
    if made and source and made < source:
        return f"the file was made {made:%Y-%m-%dT%H:%MZ}, the layer was edited {source:%Y-%m-%dT%H:%MZ}"
    return None


def _moment(members: Mapping[str, Any], names: tuple[str, ...]) -> datetime | None:
    """A time, from ISO 8601 or epoch milliseconds."""
    for raw in (members.get(name) for name in names):
        try:
            if isinstance(raw, int | float) and not isinstance(raw, bool):
                return datetime.fromtimestamp(raw / 1000, UTC)
            if isinstance(raw, str):
                found = datetime.fromisoformat(raw)
                return found if found.tzinfo else found.replace(tzinfo=UTC)
        except (ValueError, OverflowError, OSError):
            continue
    return None


def _next(job: Job, answer: Response, address: str, where: str) -> str:
    """The next address: of the file on any public host, of the job only on the same site.

    Raises:
        FeedRefused: the export failed, or the address is not allowed.
    """
    if job.failed:
        raise FeedRefused(
            f"the portal could not make the file: {job.status}",
            where=f"{where}: {without_secrets(address)}",
            do="try another format, or the layer itself (type `arcgis`)",
        )
    given = job.result or job.status_at or (answer.headers.get("Location") if answer.status == 202 else None)
    if given is None:
        return address
    if given.startswith("?"):  # a token without an address is added to the query
        query = dict(parse_qsl(urlsplit(address).query)) | dict(parse_qsl(given[1:]))
        return urlsplit(address)._replace(query=urlencode(query)).geturl()
    found = urljoin(address, given)
    if not (_same_site(found, address) or (job.result and _public(found))):
        raise FeedRefused(
            f"the portal points to another site, {without_secrets(found)}",
            where=f"{where}: {without_secrets(address)}",
            do="give that address as `url` if you trust it",
        )
    return found


def _same_site(one: str, other: str) -> bool:
    """Whether two hosts are equal, or have the same domain (a.example.org and b.example.org)."""
    hosts = [(urlsplit(each).hostname or "").casefold() for each in (one, other)]
    if urlsplit(one).scheme not in ("http", "https"):
        return False
    domains = [host.split(".")[-2:] for host in hosts]
    return hosts[0] == hosts[1] or (_is_name(hosts[0]) and _is_name(hosts[1]) and domains[0] == domains[1])


def _public(address: str) -> bool:
    """Whether an address may be that of a public file storage: https, and a host name instead of an IP address."""
    parts = urlsplit(address)
    return parts.scheme == "https" and _is_name((parts.hostname or "").casefold())


def _is_name(host: str) -> bool:
    """Whether a host is a name with a dot, and not a name of this machine or network."""
    return bool(re.fullmatch(r"([a-z0-9_-]+\.)+[a-z][a-z0-9-]*", host)) and not host.endswith(
        (".localhost", ".local", ".internal")
    )


def _wait_s(answer: Response, poll: int, request: Request) -> float:
    """Seconds until the next poll: what the portal states, else growing, between half and all of the bound."""
    stated = retry_after_s(answer.headers, request.http.now())
    if stated is not None and stated > _LONGEST_RETRY_AFTER_S:
        raise PortalBusy(
            f"the portal is making the file and allows the next request in {stated:.0f} s",
            where=request.where,
            do=f"run again in {stated:.0f} s",
            wait_s=stated,
        )
    patience = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * float(2 ** (poll - 1)))
    return (stated or patience / 2) + patience / 2 * request.http.jitter()
