"""`zoning locations`: groups of jurisdictions, each with a Dagster code location of its own; write workspace.yaml."""

import json as json_text
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from zoning_assets import jurisdictions
from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.errors import SettingInvalid
from zoning_assets.jurisdictions.locations import SETTING, Location, Locations

FILE = "workspace.yaml"
_HEAD = "# Written by `zoning locations --write` and `zoning up`: one code location for each group of jurisdictions.\n"
#: What Dagster loads.
MODULE = "zoning_assets.definitions"
#: Dagster recommends at most so many partitions for an asset (docs.dagster.io, Partitioning assets).
MOST_KEYS = 100_000


def locations(
    by: Annotated[
        str | None,
        typer.Option(help="`state`, or a TOML file of groups. By default the setting ZONING_LOCATIONS."),
    ] = None,
    *,
    write: Annotated[bool, typer.Option("--write", help="Write workspace.yaml into DAGSTER_HOME.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show the code locations: their jurisdictions and the registered tiles of each."""
    setting = bootstrap.settings().locations
    groups = grouped(Locations.of(by or setting))
    counted = _tiles(groups)
    path = write_workspace(list(groups), Path(os.environ["DAGSTER_HOME"])) if write else None
    if json:
        rows = [{"location": each.name, "ids": ids, "tiles": counted[each]} for each, ids in groups.items()]
        output.document({"locations": rows, "workspace": path and str(path)})
        return
    shown = {each.name or "all": (len(ids), counted[each]) for each, ids in groups.items()}
    output.table("Code locations", [{"location": n, "jurisdictions": k, "tiles": t} for n, (k, t) in shown.items()])
    for name in (name for name, (_, tiles) in shown.items() if tiles > MOST_KEYS):
        output.line(f"zoning: {name} has more than {MOST_KEYS:,} tiles; split it with a file of groups")
    if path:
        output.result_line(f"{path} is written.")
    if by and by != setting:
        output.result_line(f"Set {SETTING}={by} for all programs of this installation.")


def grouped(chosen: Locations) -> dict[Location, list[str]]:
    """The groups that have jurisdictions, by name, with the ids of each.

    Raises:
        SettingInvalid: there is no jurisdiction to group.
    """
    ids = sorted(jurisdictions.files(bootstrap.settings().jurisdictions))
    found = {location: [each for each in ids if chosen.find(each) == location] for location in chosen.all(ids)}
    if not found:
        raise SettingInvalid("there are no jurisdictions", where=SETTING, do="add a file with `zoning onboard`")
    return found


def write_workspace(groups: list[Location], home: Path) -> Path:
    """Write workspace.yaml into DAGSTER_HOME; a file of the user is not overwritten.

    Raises:
        SettingInvalid: there is a file of the user.
    """
    path = home / FILE
    if path.exists() and not path.read_text().startswith(_HEAD):
        raise SettingInvalid("it was not written by this program", where=str(path), do="rename it, then try again")
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(_HEAD + workspace({"python_module": _module(each)} for each in groups))
    draft.replace(path)
    return path


def workspace(entries: Iterable[Mapping[str, Any]]) -> str:
    """Return the text of a workspace file. `entries`: one for each code location."""
    return "\n".join(["load_from:", *(f"  - {json_text.dumps(each)}" for each in entries), ""])  # JSON is valid YAML


def name_of(location: Location) -> str:
    """Return the name of a code location in Dagster: for all jurisdictions the one that Dagster gives the module."""
    return location.name or MODULE


def _module(location: Location) -> dict[str, Any]:
    if location.name is None:
        return {"module_name": MODULE}
    return {"module_name": MODULE, "attribute": location.attribute, "location_name": location.name}


def _tiles(groups: Mapping[Location, Collection[str]]) -> dict[Location, int]:
    """The number of registered tiles of each group's jurisdictions. Tiles of others are registered there too: those of
    another folder of jurisdictions that shares Dagster's storage, and those of files that are gone."""
    from zoning_assets.defs import partitions  # noqa: PLC0415 - imports Dagster

    with bootstrap.dagster_instance() as instance:
        return {
            each: sum(partitions.place_of(key).jurisdiction in ids for key in partitions.registered(instance, each))
            for each, ids in groups.items()
        }
