"""`zoning publish-amendment`, `zoning queue ...`: messages sent, looked at, sent again, deleted."""

import getpass
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.cli.queue_access import known, with_queue
from zoning_assets.errors import MessageRefused, SettingInvalid
from zoning_assets.queues import AMENDMENTS, NAMES, Message
from zoning_assets.transform.changes import amendment_messages

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_LARGEST_FILE = 64 << 20  # bytes
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
_Name = Annotated[str, typer.Option("--queue", help=f"One of: {', '.join(NAMES)}.")]
_Dead = Annotated[bool, typer.Option("--dead", help="The dead letters.")]


def publish_amendment(
    file: Annotated[Path, typer.Argument(help="JSON, one message or one a line; `-`: standard input.")],
    *,
    json: _Json = False,
) -> None:
    """Send amendments to the queue; all are judged before one is sent. `zoning queue schema` says what they may say."""
    bodies = [amendment_messages.write(each) for each in _told(file)]
    ids = with_queue(AMENDMENTS, lambda queue: queue.put(bodies))
    if json:
        output.document({"queue": AMENDMENTS, "sent": len(ids), "ids": ids})
    else:
        output.line(f"{len(ids)} sent")


@app.command("peek")
def peek(
    queue: _Name = AMENDMENTS,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    *,
    dead: _Dead = False,
    json: _Json = False,
) -> None:
    """The first messages, left where they are."""
    found = with_queue(queue, lambda opened: opened.peek(limit, dead=dead))
    if json:
        output.document({"queue": queue, "dead": dead, "messages": [_row(each, _parsed(each.body)) for each in found]})
    else:
        rows = [{**_row(each, each.body), "id": [each.id]} for each in found]
        output.table(f"{queue}{', dead letters' * dead}", rows)
        if not found:
            output.line(f"no {'dead letter is' if dead else 'message waits'} in the queue {queue}")


@app.command("replay")
def replay(
    queue: _Name = AMENDMENTS,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 1000,
    *,
    json: _Json = False,
) -> None:
    """Dead letters are tried again, as if they had never failed."""
    ids = with_queue(queue, lambda opened: opened.replay(limit))
    if json:
        output.document({"queue": queue, "replayed": len(ids), "ids": ids})
    else:
        output.line(f"{len(ids)} back in the queue {queue}")


@app.command("purge")
def purge(  # noqa: PLR0913 - what, how many, why, and whether in earnest
    queue: _Name = AMENDMENTS,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100_000,
    *,
    dead: _Dead = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say how many there are.")] = False,
    json: _Json = False,
) -> None:
    """Delete messages for good, but those that are being handled."""
    if yes and not reason.strip():
        raise SettingInvalid("no reason is given", where="--reason", do="say why these messages may be deleted")
    depth = with_queue(queue, lambda opened: opened.depth())
    done = {"queue": queue, "dead": dead, "found": depth.dead if dead else depth.ready, "purged": 0}
    if yes:
        _note(done, reason)
        done["purged"] = len(with_queue(queue, lambda opened: opened.purge(limit, dead=dead)))
    if json:
        output.document(done)
    else:
        output.line(f"{done['found']} messages, {done['purged']} deleted" + ("" if yes else "; with --yes they are"))


@app.command("schema")
def schema(queue: _Name = AMENDMENTS) -> None:
    """The JSON Schema of a queue's messages, for those who write them."""
    output.document(amendment_messages.schema(known(queue)))


def _told(file: Path) -> Iterator[amendment_messages.AmendmentMessage]:
    """Each message of a file; none, where one of them is wrong."""
    text = _text(file)
    lines = list(enumerate(text.splitlines(), 1)) if _is_lines(text) else [(1, text)]
    for number, line in lines:
        if line.strip():
            try:
                yield amendment_messages.read_amendment(line)
            except MessageRefused as error:
                where = f"{file} line {number}"
                raise SettingInvalid(error.what, where=where, do="mend it by `zoning queue schema`") from None


def _text(file: Path) -> str:
    try:
        return bootstrap.read(file, _LARGEST_FILE, "publish it in parts of 64 MiB").decode()
    except UnicodeDecodeError as error:
        what = f"cannot be read: it is not UTF-8 text (byte {error.start:,})"
        raise SettingInvalid(what, where=str(file), do="give a file of JSON in UTF-8") from None


def _is_lines(text: str) -> bool:
    """One document may be spread over many lines; of several documents each is a line."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return True
    return False


def _row(message: Message, body: Any) -> dict[str, Any]:
    return {"id": message.id, "sent": message.sent, "tries": message.tries, "why": message.why, "body": body}


def _parsed(body: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body


def _note(what: dict[str, Any], reason: str) -> None:
    """Into the audit first: who dies in between has said what was meant."""
    from zoning_assets.storage.postgis import database  # noqa: PLC0415
    from zoning_assets.storage.postgis.records import hold_records  # noqa: PLC0415
    from zoning_assets.storage.postgis.sql_queries import named  # noqa: PLC0415

    with database.connect(bootstrap.bring_up_database()) as connection:
        connection.execute(named("holds")["lock"])
        subject = {key: what[key] for key in ("queue", "dead", "found")}
        hold_records.append_audit(connection, getpass.getuser(), "purge", subject, reason)
