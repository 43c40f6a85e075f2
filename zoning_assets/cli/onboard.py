"""`zoning onboard` and `zoning doctor`: propose a jurisdiction file, or a patch of one."""

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from zoning_assets import graceful_stop
from zoning_assets.cli import bootstrap, onboard_list, proposals
from zoning_assets.cli.display import output, progress
from zoning_assets.errors import SettingInvalid


def onboard(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="The address of a layer, a service, a server or a file.")
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--list", metavar="FILE", help="Many portals: an address a line, with an id after it if you want."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--id", help="The jurisdiction's id, like us-ma-cambridge.")] = None,
    *,
    write: Annotated[bool, typer.Option("--write", help="Save the file in your folder of jurisdictions.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Propose a jurisdiction file for a portal, and test it with one page. Call it again with --write to save it."""
    if listed:
        _check_list_options(url, name)
        onboard_list.run(listed, write=write, json=json)
        return
    if url is None:
        raise SettingInvalid("it is missing", where="URL", do="give the address of a portal, or --list FILE")
    if "://" not in url and not Path(url).exists():
        do = "give an address that begins with https://, or the path of a file"
        raise SettingInvalid("it is neither an address nor a file", where=url, do=do)
    home, folder = bootstrap.settings().home, bootstrap.settings().jurisdictions
    known = proposals.find(home, url, datetime.now(UTC)) if write else None
    found = known.with_id(name) if known else _propose(url, name)
    file = folder / f"{found.id}.toml"
    if write:
        proposals.write(file, found.toml)
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


def _check_list_options(url: str | None, name: str | None) -> None:
    """Refuse options that are about one portal.

    Raises:
        SettingInvalid: an address or an id is given beside a list.
    """
    if url:
        raise SettingInvalid("an address and a list exclude each other", where="--list", do="give only one of them")
    if name:
        raise SettingInvalid("an id is of one portal", where="--id", do="write it after the address in the list")


def _propose(url: str, name: str | None) -> proposals.CachedProposal:
    """Propose a file, and test it with one page."""
    from zoning_assets.http import Http  # noqa: PLC0415
    from zoning_assets.onboarding.address_list import origin  # noqa: PLC0415
    from zoning_assets.onboarding.proposal import KnownFacts, propose  # noqa: PLC0415

    known = KnownFacts(remarks=(origin(url),) if "://" in url else ())

    async def proposed(folder: Path, tell: Callable[[str], None]) -> Any:
        async with Http() as http:
            return await propose(http.for_work(), url, folder, name, tell, known)

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


def _trial(file: Path, folder: Path) -> dict[str, Any]:
    """Test the file with the first page of its first feed; see first_page_trial.py."""
    from zoning_assets.onboarding import first_page_trial  # noqa: PLC0415
    from zoning_assets.pipeline.workers.worker_pool import Pool  # noqa: PLC0415

    with Pool() as pool:
        return graceful_stop.run(first_page_trial.try_file(file, folder, pool))


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
