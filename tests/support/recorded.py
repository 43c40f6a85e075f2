"""Recorded answers of real servers: `../shared/recorded`, or below ZONING_SHARED. Tests skip where they are missing."""

import os
from pathlib import Path

import pytest

RECORDED = Path(os.environ.get("ZONING_SHARED", Path(__file__).resolve().parents[2].parent / "shared")) / "recorded"


def recorded(path: str) -> bytes:
    """A recorded answer's bytes; where it is missing the test is skipped with one line."""
    found = RECORDED / path
    if not found.exists():
        pytest.skip(f"recorded answers are missing: {found}")
    return found.read_bytes()
