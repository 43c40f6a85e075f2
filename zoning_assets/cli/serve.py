"""`zoning serve`: the map and the API."""

import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from zoning_assets import jurisdictions
from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output
from zoning_assets.cli.map_process import PORT
from zoning_assets.errors import JurisdictionInvalid, SettingInvalid, StoreError
from zoning_assets.jurisdictions.locations import Locations
from zoning_assets.settings import Settings

if TYPE_CHECKING:
    from zoning_assets.api.server_settings import ServerSettings
    from zoning_assets.api.tokens import Tokens

_LAST_PORT = 65_535
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    port: Annotated[int, typer.Option(min=0, max=_LAST_PORT, help="The port; 0: a free one.")] = PORT,
    host: Annotated[
        str, typer.Option(help="The address to listen on. Other than 127.0.0.1 it needs ZONING_API_TOKENS.")
    ] = "127.0.0.1",
    dagster: Annotated[str | None, typer.Option(help="The address of Dagster's UI, for links.")] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="The addresses as one JSON document.")] = False,
) -> None:
    """Serve the map and the API on this machine; Ctrl-C stops it."""
    import uvicorn  # noqa: PLC0415

    from zoning_assets.api.application import application  # noqa: PLC0415
    from zoning_assets.api.server_limits import LIMITS  # noqa: PLC0415

    settings = bootstrap.settings()
    given = _tokens(settings, host)
    tokens = given.with_new("review") if host in _LOOPBACK else given
    with listening(host, port) as listener:
        app = application(_server_settings(settings, tokens, host, dagster))
        address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        _report(address, None if given.of("review") else tokens.of("review"), json=json)
        config = uvicorn.Config(app, log_level="warning", access_log=False, **LIMITS)
        uvicorn.Server(config).run(sockets=[listener])


def _tokens(settings: Settings, host: str) -> "Tokens":
    from zoning_assets.api import tokens  # noqa: PLC0415

    found = tokens.read(settings.api_tokens)
    if host not in _LOOPBACK and not found.pairs:
        raise SettingInvalid(
            "another address than 127.0.0.1 needs tokens",
            where="--host",
            do="set ZONING_API_TOKENS=read:TOKEN,review:TOKEN, or leave out --host",
        )
    return found


def listening(host: str, port: int) -> socket.socket:
    """Open the port, so that an error is one line."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        what = error.strerror or str(error)
        raise StoreError(what, where=f"{host}:{port}", do="choose another port with --port") from error
    return listener


def _server_settings(settings: Settings, tokens: "Tokens", host: str, dagster: str | None) -> "ServerSettings":
    from zoning_assets.api.server_settings import STATEMENT_S, ServerSettings  # noqa: PLC0415
    from zoning_assets.storage.postgis import replica  # noqa: PLC0415
    from zoning_assets.storage.postgis.reader_login import reader_url  # noqa: PLC0415

    write_url = bootstrap.bring_up_database()
    primary_url = reader_url(settings.home, write_url, STATEMENT_S)
    replica_url = settings.read_database_url and replica.answering(settings.read_database_url)
    read_url = reader_url(settings.home, replica_url, STATEMENT_S) if replica_url else primary_url
    names, portals = _described(settings)
    return ServerSettings(
        read_url=read_url,
        write_url=write_url,
        primary_url=primary_url,
        status=lambda: status_of(read_url, primary_url),
        tokens=tokens,
        is_loopback=host in _LOOPBACK,
        tiles=_checked_tiles(settings.map_tiles),
        attribution=settings.map_attribution,
        dagster=dagster,
        locations=Locations.of(settings.locations),
        portals=portals,
        names=names,
    )


def status_of(url: str, primary: str | None = None) -> Mapping[str, Any]:
    """The document of `zoning status --json`. `primary`: the primary server, if `url` is of a replica."""
    from zoning_assets.cli.health import read_status  # noqa: PLC0415
    from zoning_assets.cli.status import PARTS  # noqa: PLC0415

    system = read_status(url, bootstrap.settings(), datetime.now(UTC), primary)
    return {name: rows_of(system) for name, rows_of in PARTS.items()}


def _described(settings: Settings) -> tuple[dict[str, str], dict[str, str]]:
    """The names of the jurisdictions, and the addresses of their layers, from their files and those of the demo."""
    from zoning_assets.sources import FEED_TYPES  # noqa: PLC0415

    names: dict[str, str] = {}
    portals: dict[str, str] = {}
    demo = {path.stem: path for path in (settings.home / "demo").glob("*.toml")}
    for id_, path in {**demo, **jurisdictions.files(settings.jurisdictions)}.items():
        try:
            found = jurisdictions.read(path, FEED_TYPES)
        except JurisdictionInvalid:  # `zoning status` reports it
            continue
        names[id_] = found.name
        urls = {f"{id_}/{name}": feed.url for name, feed in found.feeds.items()}
        portals |= {key: url for key, url in urls.items() if urlsplit(url).scheme in ("http", "https")}
    return names, portals


def _checked_tiles(address: str | None) -> str | None:
    """The address of background tiles.

    Raises:
        SettingInvalid: it is not one.
    """
    if address is None:
        return None
    try:
        parts = urlsplit(address)
    except ValueError:  # such as https://[
        parts = urlsplit("")
    is_plain = all(each.isascii() and (each.isalnum() or each in "-.:") for each in parts.netloc)
    if parts.scheme not in ("http", "https") or not parts.netloc or not is_plain or "{z}" not in address:
        what, do = "it is not an address of tiles", "give it like https://HOST/{z}/{x}/{y}.png"
        raise SettingInvalid(what, where="ZONING_MAP_TILES", do=do)
    return address


def _report(address: str, token: str | None, *, json: bool) -> None:
    """Print the addresses, and the token if it was made now."""
    addresses = {"map": f"{address}/", "api": f"{address}/openapi.json", "features": f"{address}/collections"}
    if json:
        output.document({**addresses, "review_token": token})
        sys.stdout.flush()
    review = f"\nReviews     token {token}" if token else ""
    output.line(
        f"Map         {addresses['map']}\nAPI         {addresses['api']}\n"
        f"Features    {addresses['features']}  (OGC API){review}\nCtrl-C stops it."
    )
