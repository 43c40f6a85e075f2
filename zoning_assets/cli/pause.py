"""`zoning pause` and `zoning resume`: an emergency stop of a jurisdiction, of a host or of everything."""

import getpass
from dataclasses import asdict
from typing import Annotated

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.errors import JurisdictionUnknown, SettingInvalid
from zoning_assets.settings import parse_time

_What = Annotated[str | None, typer.Argument(metavar="[JURISDICTION]", help="The jurisdiction's id.")]
_Host = Annotated[str | None, typer.Option(help="All feeds of this host.")]
_All = Annotated[bool, typer.Option("--all", help="Everything.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def pause(  # noqa: PLR0913 - one parameter per option
    reason: Annotated[str, typer.Option(help="The reason; stored with your name.")],
    jurisdiction: _What = None,
    host: _Host = None,
    until: Annotated[str | None, typer.Option(help="The end (ISO 8601 with zone); default: until `resume`.")] = None,
    *,
    all_: _All = False,
    json: _Json = False,
) -> None:
    """Pause requests and publishing. Data in progress is kept, and runs wait."""
    from zoning_assets.storage.postgis.records import hold_records  # noqa: PLC0415

    _one_of(jurisdiction, host, all_=all_)
    end = parse_time(until, "--until") if until else None
    url = bootstrap.bring_up_database()
    hold = hold_records.pause(
        url, jurisdiction=jurisdiction, host=host, reason=reason, actor=getpass.getuser(), until=end
    )
    if json:
        output.document({"hold": asdict(hold)})
    else:
        output.line(f"{hold.what} is paused; nothing is published there until `zoning resume`")
    _warn_of_unknown(url, jurisdiction, host)


def resume(
    reason: Annotated[str, typer.Option(help="The reason; stored with your name.")] = "over",
    jurisdiction: _What = None,
    host: _Host = None,
    *,
    all_: _All = False,
    json: _Json = False,
) -> None:
    """End a pause. Waiting runs continue automatically."""
    from zoning_assets.storage.postgis.records import hold_records  # noqa: PLC0415

    _one_of(jurisdiction, host, all_=all_)
    url = bootstrap.bring_up_database()
    lifted = hold_records.resume(url, jurisdiction=jurisdiction, host=host, reason=reason, actor=getpass.getuser())
    left = [
        hold
        for hold in hold_records.active(url)
        if hold_records.find_hold([hold], jurisdiction or "", {host} if host else ())
    ]
    if json:
        output.document({"lifted": [asdict(hold) for hold in lifted], "still": [asdict(hold) for hold in left]})
        return
    output.line(f"{lifted[0].what} is resumed")
    for hold in left:
        output.line(f"zoning: {hold.error()}")


def _warn_of_unknown(url: str, jurisdiction: str | None, host: str | None) -> None:
    """Warn of a name that nothing has: probably it is misspelled, and what was meant is not paused."""
    from zoning_assets.storage.postgis.records import rate_limits  # noqa: PLC0415

    try:
        bootstrap.check_known(jurisdiction, url, "JURISDICTION")
    except JurisdictionUnknown as error:
        output.line(f"zoning: warning: {error}")
    if host is not None and host not in rate_limits.read_budgets(url):
        do = "write it as in `zoning status`: with its port, without https://"
        output.line(f"zoning: warning: --host {host!r}: no request was ever sent to this host; {do}")


def _one_of(jurisdiction: str | None, host: str | None, *, all_: bool) -> None:
    if sum((jurisdiction is not None, host is not None, all_)) != 1:
        do = "give JURISDICTION, --host HOST or --all"
        raise SettingInvalid("exactly one of the three is needed", where="JURISDICTION, --host, --all", do=do)
