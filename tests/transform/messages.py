"""Protocol buffers by hand, for pages that no server would write."""

from struct import pack


def varint(value: int) -> bytes:
    """A whole number, at most 64 bits."""
    whole = bytearray()
    value &= 2**64 - 1
    while value > 127:
        whole.append(value & 127 | 128)
        value >>= 7
    return bytes([*whole, value])


def zigzag(value: int) -> int:
    """A number with its sign in the last bit."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return varint(field << 3 | 2) + varint(len(content)) + content


def double(field: int, value: float) -> bytes:
    return varint(field << 3 | 1) + pack("<d", value)


def single(field: int, value: float) -> bytes:
    return varint(field << 3 | 5) + pack("<f", value)


def packed(field: int, values: list[int], *, signed: bool = False) -> bytes:
    return message(field, *(varint(zigzag(each) if signed else each) for each in values))


def transform(step: float = 1.0, x: float = 0.0, y: float = 0.0, *, lower: bool = False) -> bytes:
    corner = number(1, 1) if lower else b""
    return message(12, corner, message(2, double(1, step), double(2, step)), message(3, double(1, x), double(2, y)))


def column(name: str, kind: int = 4) -> bytes:
    return message(13, message(1, name.encode()), number(2, kind))


def shape(lengths: list[int], steps: list[int]) -> bytes:
    """A row's geometry."""
    return message(2, packed(2, lengths), packed(3, steps, signed=True))


def page(*parts: bytes, kind: int = 3) -> bytes:
    """An answer with these columns and rows, of polygons where nothing else is said."""
    return message(2, message(1, number(7, kind), *parts))
