"""docs/reference/settings.md: the environment variables."""

from collections.abc import Mapping

from zoning_assets.cli.reference.markdown_table import GENERATED, table

#: Environment variable -> default, meaning. A test compares the names with those that the code reads.
VARIABLES: Mapping[str, tuple[str, str]] = {
    "ZONING_HOME": (
        "`.zoning` in the clone, else in the current folder",
        "The folder for everything that this project writes.",
    ),
    "ZONING_DATABASE_URL": (
        "a private cluster below `ZONING_HOME`",
        "A PostgreSQL database with PostGIS: `postgresql://USER:PASSWORD@HOST/DATABASE`.",
    ),
    "ZONING_READ_DATABASE_URL": (
        "`ZONING_DATABASE_URL`",
        "A streaming replica that `zoning serve` reads; decisions on the map are written to `ZONING_DATABASE_URL`.",
    ),
    "ZONING_STORE_URL": (
        "`ZONING_HOME/store`",
        "Where harvests and the tables between the stages are kept: a folder, `s3://`, `gs://` or `az://`.",
    ),
    "ZONING_DAGSTER_DATABASE_URL": (
        "the database `dagster` of the private cluster; with `ZONING_DATABASE_URL` its schema `zoning_dagster`",
        "Where Dagster keeps its runs and events.",
    ),
    "ZONING_QUEUE_URL": (
        "the database",
        "The message broker: `redis://HOST`, `amqp://USER:PASSWORD@HOST/` or `sqs://REGION`.",
    ),
    "ZONING_JURISDICTIONS": (
        "the first that exists of `./jurisdictions`, `jurisdictions` in the clone, and `ZONING_HOME/jurisdictions`",
        "The folder of your jurisdiction files. Your file replaces a packaged example of the same id.",
    ),
    "ZONING_LOCATIONS": (
        "one Dagster code location has all jurisdictions",
        "One code location for each group: `state`, or a TOML file of groups (docs/how-to/locations.md).",
    ),
    "ZONING_API_TOKENS": (
        "none: only this machine can read, and `zoning serve` prints a token for reviews",
        "Tokens of the API: `read:TOKEN,review:TOKEN`, or a file with one of them on each line.",
    ),
    "ZONING_MAP_TILES": (
        "none: the map has no background, and loads nothing from the internet",
        "The address of background tiles for the map: `https://HOST/{z}/{x}/{y}.png`.",
    ),
    "ZONING_MAP_ATTRIBUTION": ("none", "The text about the source of the background tiles."),
    "ZONING_MAP_URL": (
        "`zoning up` sets it for its runs; else the metadata has no link",
        "The address of the map, to which the metadata in Dagster's UI links: `https://HOST`.",
    ),
    "ZONING_SMTP_URL": (
        "no e-mail is sent",
        "The mail server for subscriptions: `smtp://USER:PASSWORD@HOST:587` (STARTTLS) or `smtps://...` (TLS).",
    ),
    "ZONING_SMTP_FROM": ("none; needed for e-mail", "The sender of the e-mails."),
    "ZONING_RUNS_ON": (
        "runs are processes of this machine",
        "The broker through which runs go to `zoning worker` on any machine: `redis://HOST:PORT/DATABASE` or"
        " `amqp://USER:PASSWORD@HOST/`; see [Several machines](../how-to/cluster.md).",
    ),
    "ZONING_MAX_RUNS": ("4", "How many runs of `zoning up` are in progress at the same time."),
    "ZONING_MAX_RUNS_PER_HOST": ("1", "How many of them may harvest from the same portal's host."),
    "ZONING_KEEP_RUNS_DAYS": (
        "90",
        "Dagster's finished runs are deleted after so many days, if later runs made all of their partitions again. "
        "`0`: never.",
    ),
    "DAGSTER_HOME": ("`ZONING_HOME/dagster`", "Dagster's own folder. A `dagster.yaml` of your own is kept."),
}

_HEAD = f"""# Settings

{GENERATED}

All settings are environment variables. They are read once, when a command starts. An unset or empty variable means the
default.
"""

_TAIL = """
A cron job may start `/path/to/clone/zoning sync` from any folder: it reads the files of the clone. Only one folder of
jurisdiction files is searched. The error about an unknown jurisdiction names this folder. If there is none yet,
`zoning onboard` with `--write` creates one in the clone, or `./jurisdictions` when the package is installed
without a clone.

A jurisdiction file may refer to further variables: `${CITY_TOKEN}` in a `url` is replaced by the value of `CITY_TOKEN`.

A database of your own may stand behind a connection pooler in session mode (PgBouncer); one in transaction mode is
refused, because the locks of runs and the rate limits are kept in sessions. If `ZONING_DATABASE_URL` names a database
of yours and you also use `dagster dev`, set `ZONING_DAGSTER_DATABASE_URL` too: this project never writes a password of
yours to a file.
"""


def markdown() -> str:
    """One row a variable."""
    rows = ((f"`{name}`", default, meaning) for name, (default, meaning) in VARIABLES.items())
    return f"{_HEAD}\n{table(('variable', 'default', 'meaning'), rows)}\n{_TAIL}"
