"""docs/reference/cli.md: every command with its arguments and options."""

from collections.abc import Iterator
from typing import Any

from zoning_assets.cli.commands import COMMANDS, load
from zoning_assets.cli.reference.markdown_table import GENERATED, table

_HEAD = f"""# Command line

{GENERATED}

`./zoning COMMAND` in a clone, `zoning COMMAND` when the package is installed. Common rules:

- `--json` prints one JSON document on stdout, also on failure (`error`, `exit_status`). Progress and error lines go to
  stderr.
- Exit status: 0 done; 1 something failed or needs a person; 2 wrong usage or configuration; 128 plus the signal's
  number after a signal (130 after Ctrl-C).
- An error is one line: where, what, what to do. The stack trace of an unexpected error is in `ZONING_HOME/faults.log`.
- Times are ISO 8601 with a time zone.
"""


def markdown() -> str:
    """One section a command, in the order of `zoning --help`; a subcommand is a section of its own."""
    sections = [part for name, entry in COMMANDS.items() if not entry.is_hidden for part in _sections(name, load(name))]
    return "\n".join([_HEAD, *sections])


def _sections(name: str, command: Any) -> Iterator[str]:
    commands: dict[str, Any] = getattr(command, "commands", {})
    if not commands:
        yield _section(name, command)
    for word, each in commands.items():
        yield from _sections(f"{name} {word}", each)


def _section(name: str, command: Any) -> str:
    arguments = [_value(each) for each in command.params if each.param_type_name == "argument"]
    usage = " ".join(["zoning", name, *(["[OPTIONS]"] if len(arguments) < len(command.params) else []), *arguments])
    text = [f"## zoning {name}", "", command.help or "", "", f"    {usage}", ""]
    rows = [_row(each) for each in command.params if not each.hidden]
    return "\n".join([*text, *([table(("option", "meaning", "default"), rows), ""] if rows else [])])


def _row(parameter: Any) -> tuple[str, str, str]:
    if parameter.param_type_name == "argument":
        return f"`{_value(parameter)}`", parameter.help or "", ""
    option = parameter.opts[0] if parameter.is_flag else f"{parameter.opts[0]} {_value(parameter)}"
    plain = isinstance(parameter.default, str | int | float) and not parameter.is_flag and parameter.default != ""
    required = " Required." if parameter.required else ""
    return f"`{option}`", f"{parameter.help or ''}{required}", f"`{parameter.default}`" if plain else ""


def _value(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.strip("_").upper())
