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
    resume: Annotated[
        bool, typer.Option("--resume", help="Add to the last run of this ZONING_HOME, also other measurements.")
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Write docs/benchmarks/results.md and results.json.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Run all measurements one after the other; print medians, spreads and targets as Markdown."""
    run_all, results = load("run_all"), load("results")
    wanted, missing = _wanted(context, only)
    journal = _journal({"scale": scale.value, "rounds": rounds, "only": sorted(wanted)}, resume=resume)
    run_all.measure(wanted, journal, scale.value, rounds, output.line)
    found = {**results.document(journal.read()), "left_out": missing}
    for path in run_all.write(found, _PAGES) if write else []:
        output.line(f"Written: {path}")
    if not json:
        output.text(results.markdown(found))
    output.finish(found if json else None, _errors(found))


def _journal(asked: dict[str, Any], *, resume: bool) -> Any:
    """The journal of a new run, or of the run to continue."""
    journals, folder = load("run_journal").Journal, bootstrap.settings().home / "bench" / "all"
    folder.mkdir(parents=True, exist_ok=True)
    known = journals.newest(folder, asked["scale"]) if resume else journals.interrupted(folder, asked)
    if known:
        output.line(f"Continuing the run of {known.read().about['began']} ({known.path})")
        return known
    return journals.create(folder, load("run_all").about(asked, folder, server()))


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
