"""What may happen to an answer on its way: to its bytes, or, more slyly, to its values with all lengths still true."""

import json
from typing import Any

from hypothesis import strategies as st

from tests.transform.messages import message, varint
from zoning_assets.transform.decode.esri import protobuf

#: What stands where something else stood: ends of numbers, huge lengths, nesting, words that are no numbers.
JUNK = st.sampled_from(
    [
        *(b"", b"\x00", b"\xff" * 9, varint(2**63), varint(2**31), b"\x80" * 11, b"\x7a", b"\x12\x80\x80\x80\x80\x08"),
        *(
            b"NaN",
            b"null",
            b"-Infinity",
            b"1e400",
            b"9" * 400,
            b'"x"',
            b"{}",
            b"[]",
            b"[[1,2]]",
            b'{"c":[[1,2],[3,4]]}',
        ),
        *(b"[" * 2000, b'{"a":' * 1500, b'"rings":', b'"curveRings":', b'"type":"GeometryCollection"', b"true"),
    ]
)
SMALL = st.binary(max_size=12)

#: A value where another stood.
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**400), 10**400) | st.integers(-3, 3),
    st.floats(),
    st.sampled_from(["", "x", "NaN", "12", "Polygon", "MultiPolygon", "GeometryCollection", "\ud800", "\x00"]),
    st.sampled_from([[], {}, [[]], [[[]]], [None], [[1, 2], [3, 4]], [[[0, 0], [0, 9], [9, 9], [0, 0]]]]),
    st.sampled_from(
        [{"rings": [[[0, 0], [1, 1], [1, 0]]]}, {"x": 1}, {"curveRings": [[[0, 0], {"c": [[1, 1], [2, 0]]}]]}]
    ),
    st.sampled_from([{"c": [[1, 1], [2, 0]]}, {"a": [[1, 1], [0, 1], 1, 0]}, {"b": [[1, 1], [2, 0], [5, 5]]}]),
)


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """The answer after some accidents to its bytes: flipped, cut short, slices doubled, lost, moved or replaced."""
    for _ in range(draw(st.integers(1, 4))):
        size = len(body)
        at = draw(st.integers(0, size))
        length = draw(st.integers(0, min(60, size - at)))
        piece, rest = body[at : at + length], body[at + length :]
        accident = draw(st.sampled_from(["flip", "cut", "double", "lose", "junk", "bytes", "move"]))
        if accident == "flip" and at < size:
            body = body[:at] + bytes([body[at] ^ 1 << draw(st.integers(0, 7))]) + body[at + 1 :]
        elif accident == "cut":
            body = body[:at]
        elif accident == "double":
            body = body[:at] + piece * draw(st.integers(2, 50)) + rest
        elif accident == "move":
            body = body[:at] + rest + piece
        else:
            new = {"lose": st.just(b""), "junk": JUNK, "bytes": SMALL}.get(accident, SMALL)
            body = body[:at] + draw(new) + rest
    return body


@st.composite
def mangled(draw: st.DrawFn, body: bytes) -> bytes:
    """The answer with some of its values replaced, lost or doubled, and its form unhurt."""
    is_json = body.lstrip()[:1] == b"{"
    for _ in range(draw(st.integers(1, 3))):
        if is_json:
            body = json.dumps(_other_value(draw, json.loads(body))).encode()
        else:
            body = _other_field(draw, body, depth=0)
    return body


def _other_value(draw: st.DrawFn, value: Any) -> Any:
    """The value with something within it changed; the deeper, the likelier."""
    if not isinstance(value, list | dict) or not value or draw(st.integers(0, 9)) == 0:
        return draw(VALUES)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = draw(st.sampled_from(keys))
    accident = draw(st.integers(0, 19))
    if accident == 0:
        return [each for i, each in enumerate(value) if i != key] if isinstance(value, list) else draw(VALUES)
    if accident == 1 and isinstance(value, list):
        return value[:key] + [value[key]] * draw(st.integers(2, 20)) + value[key:]
    changed = value.copy()
    changed[key] = _other_value(draw, value[key])
    return changed


def _other_field(draw: st.DrawFn, body: bytes, depth: int) -> bytes:
    """The message with one of its fields changed, and all lengths around it mended."""
    try:
        found = list(protobuf.fields(body, 0, len(body)))
    except ValueError:
        found = []
    if not found:
        return draw(JUNK | SMALL)
    field = draw(st.sampled_from(found))
    before = found[found.index(field) - 1].stop if found.index(field) else 0
    accident = draw(st.integers(0, 19))
    if accident == 0:
        new = b""
    elif accident == 1:
        new = body[before : field.stop] * draw(st.integers(2, 9))
    elif accident == 2:
        new = message(draw(st.integers(1, 16)), body[field.start : field.stop])
    elif field.kind == protobuf.LENGTH_DELIMITED and depth < 6 and accident > 3:
        new = message(field.number, _other_field(draw, body[field.start : field.stop], depth + 1))
    else:
        new = body[before : field.start] + draw(SMALL)[: field.stop - field.start].ljust(
            field.stop - field.start, b"\x01"
        )
    return body[:before] + new + body[field.stop :]
