"""`zoning publish-amendment` and `zoning queue`: send, show, replay and delete messages."""

import getpass
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.cli.queue_access import check_queue_name, with_queue
from zoning_assets.errors import MessageRefused, SettingInvalid
from zoning_assets.queues import AMENDMENTS, NAMES, Message
from zoning_assets.transform.changes import amendment_messages

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_LARGEST_FILE = 64 << 20  # bytes
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
_Name = Annotated[str, typer.Option("--queue", help=f"One of: {', '.join(NAMES)}.")]
_Dead = Annotated[bool, typer.Option("--dead", help="Only dead letters.")]


def publish_amendment(
    file: Annotated[Path, typer.Argument(help="JSON, one message or one per line; `-`: standard input.")],
    *,
    json: _Json = False,
) -> None:
    """Send amendments to the queue; all are validated before one is sent. `zoning queue schema` prints the format."""
    bodies = [amendment_messages.write(each) for each in _read_messages(file)]
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
    """Show the first messages; they stay in the queue."""
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
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of messages.")] = 1000,
    *,
    json: _Json = False,
) -> None:
    """Put dead letters back into the queue, with their attempts reset."""
    ids = with_queue(queue, lambda opened: opened.replay(limit))
    if json:
        output.document({"queue": queue, "replayed": len(ids), "ids": ids})
    else:
        output.line(f"{len(ids)} back in the queue {queue}")


@app.command("purge")
def purge(  # noqa: PLR0913 - one parameter per option
    queue: _Name = AMENDMENTS,
    reason: Annotated[str, typer.Option(help="The reason; stored in the audit.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of messages.")] = 100_000,
    *,
    dead: _Dead = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete them; default: only count.")] = False,
    json: _Json = False,
) -> None:
    """Delete messages permanently, except those in progress."""
    if yes and not reason.strip():
        raise SettingInvalid("no reason is given", where="--reason", do="state why these messages may be deleted")
    depth = with_queue(queue, lambda opened: opened.depth())
    done = {"queue": queue, "dead": dead, "found": depth.dead if dead else depth.ready, "purged": 0}
    if yes:
        _record(done, reason)
        done["purged"] = len(with_queue(queue, lambda opened: opened.purge(limit, dead=dead)))
    if json:
        output.document(done)
    else:
        output.line(f"{done['found']} messages, {done['purged']} deleted" + ("" if yes else "; --yes deletes them"))


@app.command("schema")
def schema(queue: _Name = AMENDMENTS) -> None:
    """Print the JSON Schema of the messages of a queue."""
    output.document(amendment_messages.schema(check_queue_name(queue)))


def _read_messages(file: Path) -> Iterator[amendment_messages.AmendmentMessage]:
    """Yield each message of a file.

    Raises:
        SettingInvalid: a message is invalid.
    """
    text = _text(file)
    lines = list(enumerate(text.splitlines(), 1)) if _is_json_lines(text) else [(1, text)]
    for number, line in lines:
        if line.strip():
            try:
                yield amendment_messages.read_amendment(line)
            except MessageRefused as error:
                where = f"{file} line {number}"
                raise SettingInvalid(error.what, where=where, do="correct it; see `zoning queue schema`") from None


def _text(file: Path) -> str:
    try:
        return bootstrap.read(file, _LARGEST_FILE, "give a file of JSON messages of at most 64 MiB").decode()
    except UnicodeDecodeError as error:
        what = f"cannot be read: it is not UTF-8 text (byte {error.start:,})"
        raise SettingInvalid(what, where=str(file), do="give a file of JSON in UTF-8") from None


def _is_json_lines(text: str) -> bool:
    """Whether a file has one document per line. A single document may span several lines."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return True
    return False


def _row(message: Message, body: Any) -> dict[str, Any]:
    return {"id": message.id, "tries": message.tries, "why": message.why, "body": body, "sent": message.sent}


def _parsed(body: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body


def _record(what: dict[str, Any], reason: str) -> None:
    """Record the deletion in the audit. This happens before the deletion, so that a crash leaves a record."""
    from zoning_assets.storage.postgis import database  # noqa: PLC0415
    from zoning_assets.storage.postgis.records import audit_records  # noqa: PLC0415
    from zoning_assets.storage.postgis.sql_queries import named  # noqa: PLC0415

    with database.connect(bootstrap.bring_up_database()) as connection:
        connection.execute(named("holds")["lock"])
        subject = {key: what[key] for key in ("queue", "dead", "found")}
        audit_records.append(connection, getpass.getuser(), "purge", subject, reason)
