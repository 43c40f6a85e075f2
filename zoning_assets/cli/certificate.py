"""`zoning certificate`: write signed evidence of one change, or print the public key of this installation."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output, written_file
from zoning_assets.cli.parcel import check_change_id
from zoning_assets.errors import SettingInvalid


def certificate(
    change: Annotated[str | None, typer.Argument(help="The id of the change, or its first characters.")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="The file; default: standard output.")] = None,
    *,
    public_key: Annotated[
        bool, typer.Option("--public-key", help="The public key of this installation (PEM), instead of a certificate.")
    ] = False,
) -> None:
    """Write a signed certificate of one change: its harvests, rules, and both states. `zoning verify` checks it."""
    from zoning_assets.certificates import signing_key  # noqa: PLC0415

    if (change is None) != public_key:
        do = "give the id of a change, or --public-key"
        raise SettingInvalid("one change, or the key, is written", where="zoning certificate", do=do)
    if change is not None:
        check_change_id(change, "zoning certificate")
    key = signing_key.load_or_create(bootstrap.settings().home)
    if change is None:
        _write(to, signing_key.public_pem(key.public_key()))
        return
    from zoning_assets.certificates.change_certificate import CertificateIssuer  # noqa: PLC0415
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415
    from zoning_assets.storage.postgis.records import change_records  # noqa: PLC0415

    url = bootstrap.bring_up_database()
    issuer = CertificateIssuer(url, Objects(bootstrap.settings().store_url), key, bootstrap.program_version())
    _write(to, issuer.issue(change_records.find_one(url, change), datetime.now(UTC)))


def _write(to: Path | None, body: bytes) -> None:
    if to is None:
        output.text(body.decode())
    else:
        written_file.write(to, body)
        output.line(f"{to} is written")
