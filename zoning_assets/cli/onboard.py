"""`zoning onboard` and `zoning doctor`: propose a jurisdiction file; repair one."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from zoning_assets import jurisdictions, stopping
from zoning_assets.cli import environment, show
from zoning_assets.errors import SettingInvalid
from zoning_assets.model import PARCELS, Counts, Jurisdiction, Outcome, Place


def onboard(
    url: Annotated[str, typer.Argument(metavar="URL", help="A layer, a service, a server or a file.")],
    name: Annotated[str | None, typer.Option("--id", help="The jurisdiction's id, like us-ma-cambridge.")] = None,
    *,
    write: Annotated[bool, typer.Option("--write", help="Write the file to your folder of jurisdictions.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Propose a jurisdiction file for a portal, and try it on one tile."""
    from zoning_assets.http import TALLY, Http, Tally  # noqa: PLC0415
    from zoning_assets.onboarding.proposal import propose  # noqa: PLC0415

    async def proposed() -> Any:
        TALLY.set(Tally())
        async with Http() as http:
            return await propose(http, url, Path(folder), name)

    with tempfile.TemporaryDirectory(prefix="zoning-onboard-") as folder:
        show.line("Looking at the portal ...")
        found = stopping.run(proposed())
        text = found.toml()
        file = _kept(found.id, text, Path(folder), write=write)
        trial = _trial(file, Path(folder))
    if json:
        show.document({**found.as_dict(), "written": str(file) if write else None, "trial": trial})
    else:
        typer.echo(text)
        show.table("Trial", [trial])
        where = f"{file}; `zoning sync {found.id}` publishes it" if write else "`--write` keeps it"
        show.line(where)
    if "error" in trial:
        raise typer.Exit(1)


def _kept(name: str, text: str, folder: Path, *, write: bool) -> Path:
    into = environment.settings().jurisdictions if write else folder
    file = into / f"{name}.toml"
    if file.exists():
        raise SettingInvalid("this file exists already", where=str(file), do="give another --id, or move it away")
    into.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def _trial(file: Path, folder: Path) -> dict[str, Any]:
    """The smallest tile of the parcels harvested, normalized and validated; nothing is published."""
    from zoning_assets.feeds import FEED_TYPES  # noqa: PLC0415
    from zoning_assets.pipeline import STAGES, Pipeline  # noqa: PLC0415
    from zoning_assets.pool import Pool  # noqa: PLC0415
    from zoning_assets.stores.objects import Objects  # noqa: PLC0415

    described = jurisdictions.read(file, FEED_TYPES)
    outcomes: list[Outcome] = []

    async def tried(pipeline: Pipeline) -> None:
        place = Place(described.id)
        if PARCELS in described.feeds:
            found = (await pipeline.find_cover(described)).tiles
            place = Place(described.id, min((rows, tile) for tile, rows in found.items())[1])
        feed = next(iter(described.feeds))
        await pipeline.run({described.id: described}, [place], feed, STAGES[:-1], outcomes.append)

    with Pool() as pool:
        stopping.run(tried(Pipeline(Objects(str(folder / "trial")), "", folder / "scratch", pool)))
    return _told(described, outcomes[0])


def _told(described: Jurisdiction, outcome: Outcome) -> dict[str, Any]:
    counts: Counts = outcome.counts
    reasons = {} if outcome.rejections is None else outcome.rejections["reason"].value_counts().to_dict()
    said = {
        "jurisdiction": described.id,
        "tile": outcome.place.tile,
        "fetched": counts.fetched,
        "accepted": counts.accepted,
    }
    said |= {"rejected": counts.rejected, "why": ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items()))}
    return {**said, "error": str(outcome.error)} if outcome.error else said


def doctor(
    jurisdiction: Annotated[str, typer.Argument(metavar="JURISDICTION")],
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Look at a feed that broke, and propose a patch of its file."""
    from zoning_assets.http import TALLY, Http, Tally  # noqa: PLC0415
    from zoning_assets.onboarding import doctor as doctors  # noqa: PLC0415
    from zoning_assets.stores.objects import Objects  # noqa: PLC0415

    settings = environment.settings()
    described = environment.jurisdiction(jurisdiction)

    async def examined(folder: Path) -> list[doctors.Finding]:
        TALLY.set(Tally())
        objects = Objects(settings.store_url)
        async with Http() as http:
            return [await doctors.examine(http, described, feed, objects, folder) for feed in described.feeds.values()]

    with tempfile.TemporaryDirectory(prefix="zoning-doctor-") as folder:
        findings = stopping.run(examined(Path(folder)))
    diff = doctors.patch(Path(described.file), findings)
    rows = [{"feed": f.feed, "wrong": f.wrong or "nothing", "proposed": "; ".join(f.why)} for f in findings]
    if json:
        show.document({"jurisdiction": described.id, "feeds": rows, "patch": diff})
    else:
        show.table(f"{described.id}", rows)
        typer.echo(diff)
    if any(finding.wrong for finding in findings):
        raise typer.Exit(1)
