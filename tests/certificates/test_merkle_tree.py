"""The tree of RFC 6962: the published test vectors, and each path leads to the root, from its own place only."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoning_assets.certificates import merkle_tree

#: The leaves and roots of the reference implementation (certificate-transparency, merkletree tests).
LEAVES = [bytes.fromhex(each) for each in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize(("size", "root"), ROOTS.items())
def test_the_roots_of_the_reference_implementation(size: int, root: str) -> None:
    assert merkle_tree.root(LEAVES[:size]).hex() == root


def test_no_leaf() -> None:
    assert merkle_tree.root([]) == hashlib.sha256().digest()


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=40, unique=True), st.data())
def test_a_path_leads_to_the_root_from_its_own_place_only(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path, root = merkle_tree.path(leaves, index), merkle_tree.root(leaves)
    assert merkle_tree.root_from_path(leaves[index], index, len(leaves), path) == root
    other = data.draw(st.integers(-1, len(leaves) + 1).filter(lambda each: each != index))
    assert merkle_tree.root_from_path(leaves[index], other, len(leaves), path) != root
    assert merkle_tree.root_from_path(leaves[index] + b"x", index, len(leaves), path) != root
    assert merkle_tree.root_from_path(leaves[index], index, len(leaves), [*path, root]) is None
    if path:
        assert merkle_tree.root_from_path(leaves[index], index, len(leaves), path[:-1]) is None
