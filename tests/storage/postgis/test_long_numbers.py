"""Numbers of any length in the metadata of a layer are stored, and do not end a harvest."""

from pathlib import Path

import pytest

from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform.geometry import content_hash


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**60])
def test_a_number_beyond_64_bits_is_written(tmp_path: Path, number: int) -> None:
    """A CKAN portal stated 10^60 as the number of its newest row: the harvest ended with a TypeError."""
    objects = Objects(str(tmp_path))
    objects.put_json("state.json", {"newest": number, "count": 30})
    assert str(number).encode() in objects.get("state.json")
    assert content_hash.json_bytes([number]) in {b"[%d]" % number, b'["%d"]' % number}
