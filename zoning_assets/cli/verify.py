"""`zoning verify`: check the audit chain, the stored pages and the tables; or a certificate. No request to a portal."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.errors import CertificateRefused, SettingInvalid

_LARGEST_CERTIFICATE, _LARGEST_KEY = 64 << 20, 1 << 16


def verify(
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="Check this certificate instead; needs --key, no database.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="The public key of the installation that signed the certificate.")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Check the integrity of all stored data; exit status 1 if there is a fault."""
    if certificate or key:
        _verify_certificate(certificate, key, json=json)
        return
    from zoning_assets.operations import integrity_check  # noqa: PLC0415
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415

    found = integrity_check.verify(bootstrap.bring_up_database(), Objects(bootstrap.settings().store_url))
    if not json:
        counted = f"{found.places:,} places, {found.pages:,} pages, {found.rows:,} rows"
        output.result_line(f"{counted}: {len(found.faults):,} faults")
    output.finish({"ok": not found.faults, **asdict(found)} if json else None, found.faults)


def _verify_certificate(certificate: Path | None, key: Path | None, *, json: bool) -> None:
    """Check a certificate without a database."""
    from zoning_assets.certificates.certificate_check import check  # noqa: PLC0415

    if certificate is None or key is None:
        do = "give --certificate FILE and --key FILE"
        raise SettingInvalid("a certificate is checked with its key", where="zoning verify", do=do)
    body = bootstrap.read(certificate, _LARGEST_CERTIFICATE, "give a file of `zoning certificate`")
    pem = bootstrap.read(key, _LARGEST_KEY, "give a file of `zoning certificate --public-key`")
    try:
        found = check(body, pem)
    except CertificateRefused as error:
        output.finish({"ok": False, "faults": [str(error)]} if json else None, [str(error)])
        return
    if json:
        output.document({"ok": True, "faults": [], **asdict(found)})
        return
    codes = f"{found.old or 'nothing'} to {found.new or 'nothing'}"
    kind = found.kind if found.state == "event" else f"{found.kind} ({found.state}: not in the change feed)"
    output.result_line(f"sound: change {found.change} of {found.jurisdiction}, {kind}, {codes}")
    output.result_line(f"issued {found.issued}, {found.pages:,} raw pages, signed by {found.signed_by}")
