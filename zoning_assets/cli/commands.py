"""The table of commands: name, import path of the function, and text of `zoning --help`.

The module of a command is imported when the command is called. `--help` and an unknown command import no module.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


class CommandEntry(NamedTuple):
    """A command, not yet imported."""

    path: str  # "module:name" in this package: a function, or a Typer with subcommands
    help: str  # the first paragraph of the function's docstring; a test compares them
    is_hidden: bool = False
    settings: Mapping[str, Any] | None = None


_EXTRA_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}

COMMANDS: Mapping[str, CommandEntry] = {
    "demo": CommandEntry(
        "demo:demo",
        "Set everything up, harvest a simulated county, change it, harvest it again, and show what changed.",
    ),
    "sync": CommandEntry("sync:sync", "Harvest, normalize, validate and publish."),
    "changes": CommandEntry("changes:changes", "List the changes, newest first."),
    "parcel": CommandEntry(
        "parcel:parcel", "Show the history of one parcel: rows, zoning, lineage, amendments, evidence."
    ),
    "explain": CommandEntry("parcel:explain", "Explain in numbers why a change was recorded."),
    "review": CommandEntry(
        "review:review", "Accept or dismiss a change that waits for a person: see `zoning changes --review`."
    ),
    "watch": CommandEntry(
        "parcel:watch",
        "Watch parcels and their successors; list the watched parcels and what changed there.",
    ),
    "preview-rules": CommandEntry(
        "parcel:preview_rules",
        "Show how the codes of an edited jurisdiction file would change the published data; nothing is written.",
    ),
    "amend": CommandEntry(
        "amend:amend",
        "Add an ordinance or a case, by options or from a document. It is matched with changes at once.",
    ),
    "amendments": CommandEntry(
        "amend:amendments",
        "List amendments: adopted but not on the map, on the map without an ordinance, matched, and with questions.",
    ),
    "minutes": CommandEntry(
        "minutes:minutes",
        "Poll the legislative body's site for matters that amend the zoning, and match them with the changes.",
    ),
    "publish-amendment": CommandEntry(
        "queue:publish_amendment",
        "Send amendments to the queue; all are validated before one is sent. `zoning queue schema` prints the format.",
    ),
    "rejections": CommandEntry("fix:rejections", "Show rejected rows, counted by reason, with samples; and the fixes."),
    "fix": CommandEntry(
        "fix:fix",
        "Fix a rejected row, or mark it as known. It applies while the portal sends exactly the same row.",
    ),
    "replay": CommandEntry(
        "sync:replay", "Publish the last harvest again with the current rules and fixes, without requests to a portal."
    ),
    "export": CommandEntry(
        "export:export",
        "Export a layer of a jurisdiction to a file, proven by reading it back; nothing is written if nothing changed.",
    ),
    "pause": CommandEntry("pause:pause", "Pause requests and publishing. Data in progress is kept, and runs wait."),
    "resume": CommandEntry("pause:resume", "End a pause. Waiting runs continue automatically."),
    "rollback": CommandEntry(
        "rollback:rollback",
        "Undo published batches with a new batch, which can be undone too; then pause the jurisdiction.",
    ),
    "remove": CommandEntry(
        "remove:remove",
        "Remove a jurisdiction: its rows become history; its failures, pauses, messages and limits are deleted.",
    ),
    "verify": CommandEntry(
        "verify:verify", "Check the integrity of all stored data; exit status 1 if there is a fault."
    ),
    "report": CommandEntry(
        "report:report",
        "Write a compliance report of a period: what changed and why, and how the data were obtained.",
    ),
    "certificate": CommandEntry(
        "certificate:certificate",
        "Write a signed certificate of one change: its harvests, rules, and both states. `zoning verify` checks it.",
    ),
    "probe": CommandEntry(
        "probe:probe", "Probe the portals for changes: at most three requests per feed, and no rows."
    ),
    "accept": CommandEntry(
        "accept:accept",
        "Accept a held release, a map with an alarm, or a layer that shrank. The next sync publishes exactly that.",
    ),
    "retry": CommandEntry(
        "retry:retry",
        "Request failed partitions again at once, with all attempts. `zoning up` or `zoning sync` runs them.",
    ),
    "discard": CommandEntry(
        "accept:discard",
        "Discard a held release. The next harvest is checked as usual.",
    ),
    "onboard": CommandEntry(
        "onboard:onboard",
        "Propose a jurisdiction file for a portal, and test it with one page. Call it again with --write to save it.",
    ),
    "catalogue": CommandEntry(
        "catalogue:catalogue",
        "Propose jurisdiction files from a public catalogue. With --probe the portals are asked too.",
    ),
    "doctor": CommandEntry("onboard:doctor", "Examine a feed that fails, and propose a patch of its file."),
    "status": CommandEntry(
        "status:status",
        "Show the state of everything; exit status 1 if something needs a person: see the last lines.",
    ),
    "metrics": CommandEntry(
        "metrics:metrics", "Print the values of `zoning status` in the Prometheus format, or serve them."
    ),
    "test": CommandEntry(
        "test:test",
        "Run lint, format, import contracts, documentation, types and tests. Further arguments go to pytest.",
        settings=_EXTRA_ARGUMENTS,
    ),
    "docs": CommandEntry(
        "docs:docs",
        "Write the generated reference pages (docs/reference) and build the documentation in .zoning/site.",
    ),
    "up": CommandEntry("up:up", "Start everything and keep it running; Ctrl-C stops it."),
    "worker": CommandEntry(
        "worker:worker",
        "Execute runs on this machine, which come through the broker of ZONING_RUNS_ON; Ctrl-C stops it.",
    ),
    "locations": CommandEntry(
        "locations:locations",
        "Show the code locations: their jurisdictions and the registered tiles of each.",
    ),
    "serve": CommandEntry("serve:serve", "Serve the map and the API on this machine; Ctrl-C stops it."),
    "db": CommandEntry("db:app", "The database: up, down, url, psql, tables."),
    "bench": CommandEntry("bench:app", "Measurements."),
    "subscribe": CommandEntry(
        "subscribe:app", "Subscriptions: add, list, remove, pause, resume, deliver, dead-letters, replay."
    ),
    "queue": CommandEntry("queue:app", "Messages: peek, replay, purge, schema."),
}


class CommandTable(TyperGroup):
    """The program `zoning`: lists the commands of the table, and imports the one that is called."""

    def __init__(self) -> None:
        super().__init__(
            name="zoning",
            help="Harvest parcels and zoning from municipal portals into one PostGIS database.",
            no_args_is_help=True,
            rich_markup_mode=None,
            commands={
                name: TyperCommand(name, help=each.help, hidden=each.is_hidden) for name, each in COMMANDS.items()
            },
        )

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the name, the imported command, and the remaining arguments."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else None, rest


def load(name: str) -> Any:
    """Import a command, and wrap it for Typer."""
    entry = COMMANDS[name]
    module, _, attribute = entry.path.partition(":")
    found = getattr(import_module(f"zoning_assets.cli.{module}"), attribute)
    app = typer.Typer(rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=name, help=entry.help)
    else:
        app.command(name, context_settings=dict(entry.settings or {}))(found)
    return get_group(app).commands[name]
