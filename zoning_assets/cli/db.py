"""`zoning db`: start and stop the database, print its address, open psql.

What belongs here: options and output. What does not: the work (local_postgres/).
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from zoning_assets import local_postgres
from zoning_assets.cli.display import output
from zoning_assets.errors import DatabaseUnavailable, SettingInvalid
from zoning_assets.local_postgres import remote

app = typer.Typer(name="db", help="The database: PostgreSQL with PostGIS.", no_args_is_help=True)

_ROLES = {"owner": "", "writer": "zoning_writer", "reader": "zoning_reader"}
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command()
def up(json_: Json = False) -> None:
    """Find or start the database, migrate its schema, prepare Dagster's home, and print the address."""
    from zoning_assets.cli import bootstrap  # noqa: PLC0415
    from zoning_assets.storage.postgis import database  # noqa: PLC0415

    address = local_postgres.ensure(_home(), os.environ)
    if warning := database.rights(database.bring_up(_home(), os.environ)).line:
        output.line(f"zoning: {warning}")
    bootstrap.prepare_dagster()
    _report(address, as_json=json_)


@app.command()
def down() -> None:
    """Stop the database that this project started; its data is kept."""
    stopped = local_postgres.stop(_home())
    typer.echo(
        "The database is stopped; `zoning db up` starts it again."
        if stopped
        else "No database of this project was running.",
        err=True,
    )


@app.command()
def url(
    role: Annotated[str, typer.Option(help="owner, writer, or reader; a reader can change nothing.")] = "owner",
    *,
    json_: Json = False,
) -> None:
    """Print the address of the running database, with the password."""
    if role not in _ROLES:
        raise SettingInvalid(f"{role!r} is not a role", where="--role", do=f"choose {', '.join(_ROLES)}")
    address = _running()
    found = address if role == "owner" else local_postgres.login(_home(), address, _ROLES[role])
    if found is None:
        raise DatabaseUnavailable(
            "this project cannot create logins there, or the role does not exist yet",
            where=remote.masked(address, address),
            do=f"let its administrator GRANT {_ROLES[role]} to a login, or run `zoning db up`",
        )
    _report(found, as_json=json_)


@app.command()
def tables() -> None:
    """Print the meaning of every table and column, as Markdown (docs/reference/tables.md)."""
    from zoning_assets.storage.postgis import database, schema_reference  # noqa: PLC0415

    typer.echo(schema_reference.markdown(database.migrate(_running())), nl=False)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(context: typer.Context) -> None:
    """Open psql in the database; further arguments go to psql (`zoning db psql -c 'SELECT 1'`)."""
    program, needed = local_postgres.psql(_home())
    target, password = remote.without_password(_running())
    environ = {**os.environ, **needed, **({"PGPASSWORD": password} if password else {})}  # never on the command line
    sys.stdout.flush()
    os.execve(program, [str(program), "--dbname", target, *context.args], environ)  # noqa: S606 - no shell on purpose


def _home() -> Path:
    return Path(os.environ.get("ZONING_HOME") or ".zoning").absolute()


def _running() -> str:
    found = local_postgres.url(_home(), os.environ)
    if found is None:
        raise DatabaseUnavailable("no database is running", where=str(_home()), do="run `zoning db up`")
    return found


def _report(address: str, *, as_json: bool) -> None:
    if as_json:
        output.document({"url": address})
    else:
        typer.echo(address)
