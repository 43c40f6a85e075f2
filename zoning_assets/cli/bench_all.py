"""`zoning bench all`: all measurements, each figure beside its target."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.benchmarks import load, server
from zoning_assets.cli.display import output
from zoning_assets.errors import SettingInvalid

_PAGES = Path(__file__).parents[2] / "docs" / "benchmarks"


class Scale(StrEnum):
    """The sizes of the measurements."""

    QUICK = "quick"
    FULL = "full"


def all_(  # noqa: PLR0913 - options
    context: typer.Context,
    only: Annotated[str, typer.Option(metavar="NAME,...", help="Only these measurements. Default: all.")] = "",
    scale: Annotated[Scale, typer.Option(help="The sizes; targets are for full.")] = Scale.QUICK,
    rounds: Annotated[
        int, typer.Option(min=1, max=20, help="Rounds of each measurement; some have fewer. Medians are shown.")
    ] = 1,
    *,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the last run of this ZONING_HOME.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write docs/benchmarks/results.md and results.json.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Run all measurements one after the other; print medians, spreads and targets as Markdown."""
    run_all, results = load("run_all"), load("results")
    wanted, missing = _wanted(context, only)
    folder = bootstrap.settings().home / "bench" / "all"
    folder.mkdir(parents=True, exist_ok=True)
    journals = load("run_journal").Journal
    if resume:
        journal = journals.newest(folder, scale.value)
    else:
        journal = journals.create(folder, run_all.about(scale.value, folder, server()))
    try:
        run_all.measure(wanted, journal, scale.value, rounds, output.line)
    except KeyboardInterrupt:
        output.line("zoning: finished rounds are kept; add --resume to continue")
        raise
    found = {**results.document(journal.read()), "left_out": missing}
    for path in run_all.write(found, _PAGES) if write else []:
        output.line(f"Written: {path}")
    if not json:
        output.text(results.markdown(found))
    output.finish(found if json else None, _errors(found))


def _wanted(context: typer.Context, only: str) -> tuple[dict[str, Any], dict[str, str]]:
    measurements = load("measurements")
    names = [each.strip() for each in only.split(",") if each.strip()]
    unknown = [each for each in names if each not in measurements.MEASUREMENTS]
    if unknown:
        known = ", ".join(measurements.MEASUREMENTS)
        raise SettingInvalid(f"there is no measurement {unknown[0]!r}", where="--only", do=f"choose from: {known}")
    commands = list(getattr(context.parent and context.parent.command, "commands", ()))
    wanted, missing = measurements.chosen(names, commands)
    for name, why in missing.items():
        output.line(f"{name} is left out: {why}")
    return wanted, missing


def _errors(found: dict[str, Any]) -> list[str]:
    return [f"{each['name']}: {error}" for each in found["measurements"] for error in each["errors"]]
