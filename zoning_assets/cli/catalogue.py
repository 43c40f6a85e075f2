"""`zoning catalogue`: propose jurisdiction files from a public catalogue of layers."""

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from zoning_assets import graceful_stop
from zoning_assets.cli import bootstrap, onboard_list, proposal_filing, proposals
from zoning_assets.cli.display import output, progress
from zoning_assets.cli.proposal_filing import PortalReport
from zoning_assets.errors import FeedRefused, SettingInvalid

if TYPE_CHECKING:
    from zoning_assets.onboarding.catalogues.catalogue_entry import CatalogueEntry, CatalogueReading
    from zoning_assets.onboarding.catalogues.entry_address import CheckAddress

#: The most files of a folder.
_MOST_FILES = 20_000
_LOOKUPS_AT_ONCE, _LOOKUP_S = 16, 20.0
_FORMS = (
    "a source file of OpenAddresses or a folder of them, an answer of ArcGIS Hub, ArcGIS Online or CKAN, or data.json"
)
_DO = f"give {_FORMS}"


def catalogue(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=f"A file, a folder or an address: {_FORMS}.")],
    allow_network: Annotated[
        list[str] | None,
        typer.Option(help="Accept addresses in this network, such as 10.1.0.0/16, besides public ones."),
    ] = None,
    *,
    probe: Annotated[bool, typer.Option("--probe", help="Ask the portals too, as `onboard --list` does.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Save the complete proposals in your folder of jurisdictions.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Propose jurisdiction files from a public catalogue. With --probe the portals are asked too."""
    check = _address_check(allow_network or [])
    found = _read(source, check)
    for why, number in found.passed_over.most_common():
        output.line(f"left out: {number:,} {why}")
    if found.remark:
        output.line(found.remark)
    problems = [
        PortalReport(each.where, proposal_filing.shown(each.address), proposal_filing.FAILED, why=each.why, do=each.do)
        for each in found.problems
    ]
    reports = _probed(found, check, write=write) if probe else _filed(found.entries, write=write)
    head = {"catalogue": source, "form": found.form, "passed_over": found.passed_over, "remark": found.remark}
    onboard_list.finish(head, [*reports, *problems], write=write, json=json)


def _read(source: str, check: "CheckAddress") -> "CatalogueReading":
    """Read a document, or all documents of a folder."""
    from zoning_assets.onboarding.catalogues import catalogue_document  # noqa: PLC0415

    path = Path(source)
    if source.startswith(("http://", "https://")):
        found = [catalogue_document.read(*_fetched(source), check)]
    elif path.is_dir():
        found = [_of_file(each, str(each.relative_to(path)), check) for each in _files(path)]
    else:
        body = bootstrap.read(path, catalogue_document.MOST_BYTES, _DO)
        found = [catalogue_document.read(body, path.name, check)]
    return catalogue_document.merged(found)


def _of_file(file: Path, where: str, check: "CheckAddress") -> "CatalogueReading":
    """Read a file of a folder; one that cannot be read is a problem and does not stop the others."""
    from zoning_assets.onboarding.catalogues import catalogue_document  # noqa: PLC0415
    from zoning_assets.onboarding.catalogues.catalogue_entry import CatalogueReading, EntryProblem  # noqa: PLC0415

    try:
        body = bootstrap.read(file, catalogue_document.MOST_BYTES, _DO)
    except SettingInvalid as error:
        return CatalogueReading("", problems=[EntryProblem(where, "", error.what, error.do)])
    return catalogue_document.read(body, where, check)


def _files(folder: Path) -> list[Path]:
    """The JSON files of a folder and its subfolders.

    Raises:
        SettingInvalid: there are none, or too many.
    """
    files = sorted(islice((each for each in folder.rglob("*.json") if each.is_file()), _MOST_FILES + 1))
    if not files:
        raise SettingInvalid("the folder has no JSON file", where=str(folder), do=_DO)
    if len(files) > _MOST_FILES:
        raise SettingInvalid(
            f"the folder has more than {_MOST_FILES:,} files", where=str(folder), do="give a part of it"
        )
    return files


def _fetched(address: str) -> tuple[bytes, str]:
    """Fetch the answer of a catalogue, within the rate limit of its host. Return it, and its address for messages."""
    from zoning_assets.http import Http  # noqa: PLC0415
    from zoning_assets.model import Portal  # noqa: PLC0415
    from zoning_assets.onboarding.address_list import address_fault  # noqa: PLC0415
    from zoning_assets.redaction import without_secrets  # noqa: PLC0415
    from zoning_assets.storage.postgis.records.rate_limits import PostgresLedger  # noqa: PLC0415

    if why := address_fault(address):
        raise SettingInvalid(why, where="SOURCE", do=_DO)
    url = bootstrap.bring_up_database()

    async def fetch() -> bytes:
        async with Http(ledger=PostgresLedger(url)) as http:
            return (await http.for_work().query(Portal(), address, {}, read=len)).body

    with progress.working("Reading the catalogue"):
        return graceful_stop.run(fetch()), without_secrets(address)


def _filed(entries: "Sequence[CatalogueEntry]", *, write: bool) -> list[PortalReport]:
    """Propose what the catalogue states; no portal is asked."""
    from zoning_assets.onboarding.catalogues import entry_file  # noqa: PLC0415

    filing = proposal_filing.Filing.open(bootstrap.settings().jurisdictions, write=write)
    return [
        filing.find(entry_file.to_probe(each))
        or filing.file(entry_file.to_probe(each), proposals.create(entry_file.as_dict(each), {}), _lacks(each))
        for each in entries
    ]


def _lacks(entry: "CatalogueEntry") -> str:
    return f"the catalogue does not state {', '.join(entry.lacks)}" if entry.lacks else ""


def _probed(found: "CatalogueReading", check: "CheckAddress", *, write: bool) -> list[PortalReport]:
    """Ask the portals whose hosts are public."""
    from zoning_assets.onboarding.catalogues import entry_file  # noqa: PLC0415

    entries, total = found.entries, len(found.entries) + len(found.problems)
    hosts = sorted({urlsplit(each.url).hostname or "" for each in entries})
    refused = graceful_stop.run(_refused_hosts(hosts, check))
    asked = [entry_file.to_probe(each) for each in entries if urlsplit(each.url).hostname not in refused]
    reports = [
        PortalReport.of_invalid(
            each.where, each.url, FeedRefused(why, where=each.where, do="allow it: --allow-network")
        )
        for each in entries
        if (why := refused.get(urlsplit(each.url).hostname or ""))
    ]
    return [*onboard_list.propose_and_file(asked, total, write=write), *reports]


async def _refused_hosts(hosts: Sequence[str], check: "CheckAddress") -> dict[str, str]:
    """Why the hosts are refused whose names resolve to an address that is not public."""
    slots = asyncio.Semaphore(_LOOKUPS_AT_ONCE)
    found = await asyncio.gather(*(_refusal(host, check, slots) for host in hosts))
    return {host: why for host, why in zip(hosts, found, strict=True) if why}


async def _refusal(host: str, check: "CheckAddress", slots: asyncio.Semaphore) -> str:
    from zoning_assets.subscriptions import address_check  # noqa: PLC0415

    async with slots:
        try:
            async with asyncio.timeout(_LOOKUP_S):
                addresses = await address_check.system_lookup(host, 443)
        except (OSError, TimeoutError, UnicodeError):
            return ""  # the request reports it
    for each in addresses:
        try:
            check(each)
        except OSError as error:
            return f"the name of its host resolves to a private address: {error}"
    return ""


def _address_check(allowed: Sequence[str]) -> "CheckAddress":
    """The check of addresses in numbers: public ones and those of the allowed networks pass."""
    from zoning_assets.subscriptions import address_check, targets  # noqa: PLC0415

    networks = address_check.networks(targets.check_networks(allowed))
    return partial(address_check.check_address, allowed=networks)
