"""The version of this program: of the installed package, or of the clone that it runs in."""

import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from zoning_assets.settings import CLONE


@cache
def program_version() -> str:
    """The version, such as 0.3.0."""
    try:
        return version("zoning-assets")
    except PackageNotFoundError:  # a clone is not installed
        return str(tomllib.loads((CLONE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
