"""The table of commands: each is a name, the place of its function, and the text of `zoning --help`.

A command's module is imported when the command is called: `--help` and a wrong word import none of them.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


class CommandEntry(NamedTuple):
    """A command, not yet imported."""

    place: str  # module of this package and name in it: a function, or a Typer with commands of its own
    help: str  # the first paragraph of the function's docstring; a test compares them
    is_hidden: bool = False
    settings: Mapping[str, Any] | None = None


_PASSES_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

COMMANDS: Mapping[str, CommandEntry] = {
    "demo": CommandEntry(
        "demo:demo",
        "Set everything up, harvest a simulated county, let it change, harvest it again, and say what changed.",
    ),
    "sync": CommandEntry("sync:sync", "Harvest, normalize, validate and publish."),
    "changes": CommandEntry("changes:changes", "What really changed, newest first."),
    "parcel": CommandEntry("parcel:parcel", "One parcel's whole life: rows, zoning, lineage, amendments, evidence."),
    "explain": CommandEntry("parcel:explain", "Why a change is one, in numbers."),
    "watch": CommandEntry(
        "parcel:watch",
        "Watch parcels, and what they become; without anything new, what is watched and what changed there.",
    ),
    "preview-rules": CommandEntry(
        "parcel:preview_rules",
        "What the codes of an edited jurisdiction file would make of all that is published; nothing is written.",
    ),
    "amend": CommandEntry(
        "amend:amend",
        "Tell of an ordinance or a case, or let a document tell; changes that it explains are matched at once.",
    ),
    "amendments": CommandEntry(
        "amend:amendments",
        "What waits: adopted but not on the map, on the map without an ordinance, matched, and questions.",
    ),
    "publish-amendment": CommandEntry(
        "queue:publish_amendment",
        "Send amendments to the queue; all are judged before one is sent."
        " `zoning queue schema` says what they may say.",
    ),
    "rejections": CommandEntry(
        "fix:rejections", "Rows that are held back, counted by reason, with samples; and what was said of rows."
    ),
    "fix": CommandEntry(
        "fix:fix",
        "Fix a row that was held back, or say that it is known; applies while the portal sends the very same row.",
    ),
    "replay": CommandEntry(
        "sync:replay", "Publish what was harvested last under today's rules and fixes; no portal is asked."
    ),
    "pause": CommandEntry(
        "pause:pause", "Pause: nothing new is asked, nothing is published; what is on its way is kept, and runs wait."
    ),
    "resume": CommandEntry("pause:resume", "Lift the pauses of just this; what waited goes on by itself."),
    "rollback": CommandEntry(
        "rollback:rollback",
        "Undo what was published: as a new batch, which can be undone too; afterwards the jurisdiction is paused.",
    ),
    "remove": CommandEntry(
        "remove:remove",
        "Take a jurisdiction out: its rows become history, and what waits or is remembered of it goes.",
    ),
    "verify": CommandEntry("verify:verify", "Whether everything is what it was; exit status 1 where something is not."),
    "probe": CommandEntry(
        "probe:probe", "Ask the portals whether anything changed: three requests a feed at most, and no row."
    ),
    "accept": CommandEntry(
        "accept:accept",
        "Say that what is held back is right: a release that tripped a tripwire, a map that raised an alarm,"
        " a layer that shrank; the next sync goes on with just that.",
    ),
    "retry": CommandEntry(
        "retry:retry",
        "Let what failed be asked for again at once, with all its tries; `zoning up` does, or `zoning sync` here.",
    ),
    "discard": CommandEntry(
        "accept:discard",
        "Say that a release which tripped a tripwire is wrong: it is forgotten, and the next harvest is judged anew.",
    ),
    "onboard": CommandEntry(
        "onboard:onboard",
        "Propose a jurisdiction file for a portal, and try it on one page;"
        " with --write after that, keep that proposal.",
    ),
    "doctor": CommandEntry("onboard:doctor", "Look at a feed that broke, and propose a patch of its file."),
    "status": CommandEntry(
        "status:status",
        "Show how everything stands; exit status 1 where something needs a person, which is said in the last lines.",
    ),
    "metrics": CommandEntry("metrics:metrics", "Print what `status` says as Prometheus wants it, or serve it."),
    "test": CommandEntry(
        "test:test",
        "Lint, format, import contracts, documentation, types, tests. What follows is handed to pytest.",
        settings=_PASSES_ON,
    ),
    "docs": CommandEntry(
        "docs:docs",
        "Write the generated reference pages (docs/reference) and build the documentation in .zoning/site.",
    ),
    "up": CommandEntry("up:up", "Start everything and keep it running; Ctrl-C stops it."),
    "serve": CommandEntry("up:up", "Start everything and keep it running; Ctrl-C stops it.", is_hidden=True),
    "db": CommandEntry("db:app", "The database: up, down, url, psql, tables."),
    "bench": CommandEntry("bench:app", "Measurements."),
    "queue": CommandEntry("queue:app", "Messages: peek, replay, purge, schema."),
}


class CommandTable(TyperGroup):
    """The program `zoning`: it lists the commands of the table, and imports the one that is called."""

    def __init__(self) -> None:
        super().__init__(
            name="zoning",
            help="Harvest parcels and zoning from municipal portals into one PostGIS database that is true.",
            no_args_is_help=True,
            rich_markup_mode=None,
            commands={
                name: TyperCommand(name, help=each.help, hidden=each.is_hidden) for name, each in COMMANDS.items()
            },
        )

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that the arguments name, imported, and the arguments that are its own."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else None, rest


def load(name: str) -> Any:
    """The command of a name, as Typer runs it."""
    entry = COMMANDS[name]
    module, _, attribute = entry.place.partition(":")
    found = getattr(import_module(f"zoning_assets.cli.{module}"), attribute)
    words = typer.Typer(rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        words.add_typer(found, name=name, help=entry.help)
    else:
        words.command(name, context_settings=dict(entry.settings or {}))(found)
    return get_group(words).commands[name]
