"""`zoning onboard --list`: propose and file many jurisdictions. The same command again continues where one ended."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoning_assets import graceful_stop
from zoning_assets.cli import bootstrap, proposal_filing, proposals
from zoning_assets.cli.display import output, progress
from zoning_assets.cli.proposal_filing import PortalReport

if TYPE_CHECKING:
    from zoning_assets.onboarding.address_list import AddressList, ListedAddress
    from zoning_assets.onboarding.many_portals import PortalResult

#: A proposal of a list is used again for so long: a long list runs overnight, and a person reads it the next day.
_KEPT_FOR = timedelta(hours=24)
#: Repeated lines that are listed.
_MOST_REPEATED = 10


def run(file: Path, *, write: bool, json: bool) -> None:
    """Propose a file for each address of a list, and save them with `write`."""
    from zoning_assets.onboarding import address_list  # noqa: PLC0415 - imports the HTTP client

    body = bootstrap.read(file, address_list.MOST_BYTES, "give a file with an address a line")
    found = address_list.parse(body, str(file))
    _tell_repeated(found)
    invalid = [PortalReport.of_invalid(line, text, error) for line, text, error in found.invalid]
    total = len(found.addresses) + len(invalid)
    reports = [*propose_and_file(found.addresses, total, write=write), *invalid]
    repeated = [{"line": line, "first": first} for line, first in found.repeated]
    finish({"list": str(file), "repeated": repeated}, reports, write=write, json=json)


def propose_and_file(listed: "Sequence[ListedAddress]", total: int, *, write: bool) -> list[PortalReport]:
    """Propose a file for each address, and save it with `write`. Addresses that have a file, and those with a proposal
    of the last 24 hours, are not asked again. `total`: the number of addresses with the invalid ones, for the message.

    Raises:
        Stopping: this program was asked to stop; what was proposed until then is kept.
        DatabaseUnavailable: the rate limits cannot be read.
    """
    settings, now = bootstrap.settings(), datetime.now(UTC)
    filing = proposal_filing.Filing.open(settings.jurisdictions, write=write)
    reports = {each: report for each in listed if (report := filing.find(each))}
    for each in (each for each in listed if each not in reports):
        if known := proposals.find(settings.home, _kept_name(each), now, _KEPT_FOR):
            reports[each] = filing.file(each, known.with_id(each.id))
    waiting = [each for each in listed if each not in reports]
    if kept := len(listed) - len(waiting):
        output.line(f"{kept:,} of {total:,} addresses were proposed before; no request is sent for them")

    def note(result: "PortalResult") -> None:
        if result.error:
            reports[result.listed] = PortalReport.of_error(result, result.error)
        else:
            proposed = proposals.create(result.proposal, result.trial)
            if "error" not in result.trial:
                proposals.keep(settings.home, _kept_name(result.listed), proposed)
            report = filing.file(result.listed, proposed)
            reports[result.listed] = report.with_cost(result.requests, result.seconds)

    if waiting:
        _ask(waiting, note)
    return [reports[each] for each in listed]


def _kept_name(listed: "ListedAddress") -> str:
    """What a proposal is kept by: the address, as in `zoning onboard URL`, and what a catalogue states about it."""
    return "\n".join(filter(None, (listed.address, listed.name, listed.key, listed.layer)))


def _ask(waiting: "Sequence[ListedAddress]", note: "Callable[[PortalResult], None]") -> None:
    """Ask the portals, with a progress bar."""
    from zoning_assets.http import Http  # noqa: PLC0415
    from zoning_assets.onboarding import many_portals  # noqa: PLC0415
    from zoning_assets.pipeline.workers.worker_pool import Pool  # noqa: PLC0415
    from zoning_assets.storage.postgis.records.rate_limits import PostgresLedger  # noqa: PLC0415

    url = bootstrap.bring_up_database()

    async def ask(pool: Pool, on_result: "Callable[[PortalResult], None]") -> None:
        async with Http(ledger=PostgresLedger(url)) as http:
            await many_portals.propose_all(http, url, pool, waiting, on_result)

    with Pool() as pool, progress.progress("Asking portals", len(waiting)) as bar:

        def on_result(result: "PortalResult") -> None:
            note(result)
            bar.step()

        graceful_stop.run(ask(pool, on_result))


def finish(head: dict[str, Any], reports: Sequence[PortalReport], *, write: bool, json: bool) -> None:
    """Show what worked and what did not, or write the JSON document.

    Raises:
        typer.Exit: an address needs a person.
    """
    failed = [each for each in reports if each.why]
    done = [each for each in reports if not each.why]
    if not json:
        output.table(f"{len(done):,} of {len(reports):,} addresses have a proposal", [each.row() for each in done])
        output.table(
            f"{len(failed):,} of {len(reports):,} addresses need a person", [each.failed_row() for each in failed]
        )
        if not write and done:
            output.result_line("add `--write` within 24 hours to save these files; no portal is asked again")
    totals = {"addresses": len(reports), "requests": sum(each.requests for each in reports)}
    lists = {"proposals": [each.as_dict() for each in done], "failed": [each.as_failed() for each in failed]}
    errors = [f"{len(failed):,} of {len(reports):,} addresses need a person"] if failed else []
    output.finish({**head, **totals, **lists} if json else None, errors)


def _tell_repeated(found: "AddressList") -> None:
    for line, first in found.repeated[:_MOST_REPEATED]:
        output.line(f"{line} repeats {first}; the address is asked once")
    if (more := len(found.repeated) - _MOST_REPEATED) > 0:
        output.line(f"and {more:,} more lines repeat an address; --json has all of them")
