"""Where the real data lies: `../shared/data`, or below ZONING_SHARED. Tests skip where it is missing."""

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[2].parent / "shared"


def need(path: str) -> Path:
    """The file or folder at `path` below shared/data; where it is missing the test is skipped with one line."""
    return _found(f"data/{path}")


def recorded(path: str) -> Path:
    """A recorded answer of a real server, below shared/recorded."""
    return _found(f"recorded/{path}")


def case(path: str) -> Path:
    """A file of the inputs from the field that failed once, below shared/cases."""
    return _found(f"cases/{path}")


def _found(path: str) -> Path:
    found = Path(os.environ.get("ZONING_SHARED", _BESIDE)) / path
    if not found.exists():
        pytest.skip(f"real data is missing: {found}")
    return found


def cambridge() -> Path:
    """The folder of Cambridge, Massachusetts."""
    return need("cambridge_ma")
