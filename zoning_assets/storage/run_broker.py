"""The broker of runs: the setting `ZONING_RUNS_ON`.

Unset, runs are processes of this machine. With an address, runs are Celery tasks that go through this broker to
workers on any machine.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from urllib.parse import urlsplit

from zoning_assets.errors import SettingInvalid

SETTING = "ZONING_RUNS_ON"
_SCHEMES = ("redis", "rediss", "amqp", "amqps")
_DO = "set it like redis://HOST:6379/0 or amqp://USER:PASSWORD@HOST/"


def find(environ: Mapping[str, str]) -> str | None:
    """Return the address of the broker; None: runs are processes of this machine.

    Raises:
        SettingInvalid: it is not the address of a broker, or the package for it is not installed.
    """
    url = environ.get(SETTING)
    if not url:
        return None
    try:
        parts = urlsplit(url)
        # An unescaped / in a password ends the host early: the rest of the password is then in the path.
        is_address = bool(parts.hostname) and (parts.port is None or parts.port > 0) and "@" not in parts.path
    except ValueError:
        is_address = False
    if not is_address or parts.scheme not in _SCHEMES:
        raise SettingInvalid("it is not the address of a broker of runs", where=SETTING, do=_DO)
    if parts.scheme.startswith("redis") and not _is_database(parts.path):
        raise SettingInvalid("the path of a Redis address is the number of a database", where=SETTING, do=_DO)
    for package in ("dagster_celery", "redis"):
        if find_spec(package) is None:
            what = f"the package {package.replace('_', '-')} is not installed"
            raise SettingInvalid(what, where=SETTING, do="pip install 'zoning-assets[celery]'")
    return url


def address(url: str) -> str:
    """Return the address of a broker without user and password, for messages."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _is_database(path: str) -> bool:
    number = path.strip("/")
    return not number or (number.isascii() and number.isdigit())
