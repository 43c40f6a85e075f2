"""`zoning onboard` and `zoning doctor`: propose a jurisdiction file, or a patch of one."""

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from zoning_assets import graceful_stop, jurisdictions
from zoning_assets.cli import bootstrap, proposals
from zoning_assets.cli.display import output, progress
from zoning_assets.errors import SettingInvalid
from zoning_assets.model import Counts, Jurisdiction, Outcome


def onboard(
    url: Annotated[str, typer.Argument(metavar="URL", help="The address of a layer, a service, a server or a file.")],
    name: Annotated[str | None, typer.Option("--id", help="The jurisdiction's id, like us-ma-cambridge.")] = None,
    *,
    write: Annotated[bool, typer.Option("--write", help="Save the file in your folder of jurisdictions.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Propose a jurisdiction file for a portal, and test it with one page. Call it again with --write to save it."""
    home, folder = bootstrap.settings().home, bootstrap.settings().jurisdictions
    known = proposals.find(home, url, datetime.now(UTC)) if write else None
    found = known.with_id(name) if known else _propose(url, name)
    file = folder / f"{found.id}.toml"
    if write:
        _write(file, found.toml)
    elif "error" not in found.trial:
        proposals.keep(home, url, found)
    if not json:
        typer.echo(found.toml)
        output.table("Trial of the first page", [found.trial])
        if known:
            output.line(f"proposed at {known.at}; no further request was sent to the portal")
        output.line(f"{file}; `zoning sync {found.id}` publishes it" if write else "add `--write` to save this file")
    document = {**found.proposal, "written": str(file) if write else None, "trial": found.trial}
    errors = [str(found.trial["error"])] if "error" in found.trial else []
    output.finish(document if json else None, errors)


def _propose(url: str, name: str | None) -> proposals.CachedProposal:
    """Propose a file, and test it with one page."""
    from zoning_assets.http import Http  # noqa: PLC0415
    from zoning_assets.onboarding.proposal import propose  # noqa: PLC0415

    async def proposed(folder: Path, tell: Callable[[str], None]) -> Any:
        async with Http() as http:
            return await propose(http.for_work(), url, folder, name, tell)

    with (
        tempfile.TemporaryDirectory(prefix="zoning-onboard-") as scratch,
        progress.working("Reading the portal") as tell,
    ):
        folder = Path(scratch)
        found = graceful_stop.run(proposed(folder, tell))
        file = folder / f"{found.id}.toml"
        file.write_text(found.toml(), encoding="utf-8")
        tell("Testing with the first page")
        return proposals.create(found.as_dict(), _trial(file, folder))


def _write(file: Path, text: str) -> None:
    """Validate the file, then write it.

    Raises:
        SettingInvalid: the file exists already.
        JurisdictionInvalid: the file is not valid, for example because of the id of `--id`.
    """
    from zoning_assets.sources import FEED_TYPES  # noqa: PLC0415

    if file.exists():
        raise SettingInvalid("this file exists already", where=str(file), do="give another --id, or move it away")
    with tempfile.TemporaryDirectory(prefix="zoning-onboard-") as scratch:
        draft = Path(scratch) / file.name
        draft.write_text(text, encoding="utf-8")
        jurisdictions.read(draft, FEED_TYPES)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _trial(file: Path, folder: Path) -> dict[str, Any]:
    """Fetch, normalize and validate the first page of the first feed; nothing is published."""
    from zoning_assets.pipeline.pipeline import Pipeline  # noqa: PLC0415
    from zoning_assets.pipeline.workers.worker_pool import Pool  # noqa: PLC0415
    from zoning_assets.sources import FEED_TYPES  # noqa: PLC0415
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415

    described = jurisdictions.read(file, FEED_TYPES)
    with Pool() as pool:
        pipeline = Pipeline(Objects(str(folder / "trial")), "", folder / "scratch", pool)
        outcome = graceful_stop.run(pipeline.try_first_page(described, next(iter(described.feeds))))
    return _trial_result(described, outcome)


def _trial_result(described: Jurisdiction, outcome: Outcome) -> dict[str, Any]:
    counts: Counts = outcome.counts
    reasons = {} if outcome.rejections is None else outcome.rejections["reason"].value_counts().to_dict()
    result = {
        "jurisdiction": described.id,
        "fetched": counts.fetched,
        "accepted": counts.accepted,
    }
    result |= {"rejected": counts.rejected, "why": ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items()))}
    return {**result, "error": str(outcome.error)} if outcome.error else result


def doctor(
    jurisdiction: Annotated[str, typer.Argument(metavar="JURISDICTION")],
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Examine a feed that fails, and propose a patch of its file."""
    from zoning_assets.http import Http  # noqa: PLC0415
    from zoning_assets.onboarding import doctor as doctors  # noqa: PLC0415
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415

    settings = bootstrap.settings()
    described = bootstrap.jurisdiction(jurisdiction)

    async def examine(folder: Path) -> list[doctors.FeedDiagnosis]:
        objects = Objects(settings.store_url)
        async with Http() as http:
            client = http.for_work()
            feeds = described.feeds.values()
            return [await doctors.examine(client, described, feed, objects, folder) for feed in feeds]

    with tempfile.TemporaryDirectory(prefix="zoning-doctor-") as folder:
        findings = graceful_stop.run(examine(Path(folder)))
    diff = doctors.patch(Path(described.file), findings)
    rows = [{"feed": f.feed, "wrong": f.problem or "nothing", "proposed": "; ".join(f.why)} for f in findings]
    if not json:
        output.table(f"{described.id}", rows)
        typer.echo(diff)
    wrong = [f"{described.id} {finding.feed}: {finding.problem}" for finding in findings if finding.problem]
    output.finish({"jurisdiction": described.id, "feeds": rows, "patch": diff} if json else None, wrong)
