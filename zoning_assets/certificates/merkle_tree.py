"""The Merkle tree of RFC 6962, section 2.1, with SHA-256: its root, and the path from one leaf to the root.

A leaf is hashed with the prefix 0x00 and a node with 0x01, so that no node can pass for a leaf.
"""

import hashlib
from collections.abc import Sequence

_LEAF, _NODE = b"\x00", b"\x01"


def root(leaves: Sequence[bytes]) -> bytes:
    """The root of a tree with these leaves, in this order. Without a leaf: the hash of nothing."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return _leaf(leaves[0])
    middle = _split(len(leaves))
    return _node(root(leaves[:middle]), root(leaves[middle:]))


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from the leaf `index` to the root, from below."""
    if len(leaves) == 1:
        return []
    middle = _split(len(leaves))
    if index < middle:
        return [*path(leaves[:middle], index), root(leaves[middle:])]
    return [*path(leaves[middle:], index - middle), root(leaves[:middle])]


def root_from_path(leaf: bytes, index: int, size: int, hashes: Sequence[bytes]) -> bytes | None:
    """The root that a path leads to; None: no tree of this size has such a path. (RFC 9162, section 2.1.3.2.)

    Args:
        leaf: the leaf.
        index: its position, from 0.
        size: number of leaves of the tree.
        hashes: the path, from below.
    """
    if not 0 <= index < size:
        return None
    node, last, found = index, size - 1, _leaf(leaf)
    for sibling in hashes:
        if last == 0:
            return None
        if node % 2 or node == last:
            found = _node(sibling, found)
            while node and not node % 2:
                node, last = node // 2, last // 2
        else:
            found = _node(found, sibling)
        node, last = node // 2, last // 2
    return found if last == 0 else None


def _leaf(data: bytes) -> bytes:
    return hashlib.sha256(_LEAF + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()


def _split(size: int) -> int:
    """The largest power of two that is smaller than the number of leaves."""
    return 1 << ((size - 1).bit_length() - 1)
