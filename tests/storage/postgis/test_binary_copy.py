"""PostgreSQL's binary COPY format, made column by column."""

import struct

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from zoning_assets.storage.postgis import binary_copy

rows = st.lists(
    st.tuples(
        st.none() | st.text(max_size=9),
        st.none() | st.floats(allow_nan=False),
        st.none() | st.binary(min_size=5, max_size=12),
    ),
    max_size=6,
)


def field(value: bytes | None) -> bytes:
    return struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value


def row(text: str | None, number: float | None, blob: bytes | None) -> bytes:
    """A row as the manual has it, one field after the other."""
    fields = (
        text and text.encode(),
        number if number is None else struct.pack(">d", number),
        blob and b"HEAD" + blob[5:],
    )
    return struct.pack(">h", 3) + b"".join(map(field, (b"" if text == "" else fields[0], *fields[1:])))


@given(rows, st.integers(1, 4))
def test_columns_make_the_same_bytes_as_rows(rows, size):
    """Whatever is null, empty or not ASCII, and however Arrow keeps the column in pieces."""
    kinds = (pa.string(), pa.float64(), pa.binary())
    columns = [
        pa.chunked_array([pa.array(each[i : i + size], kind) for i in range(0, len(each), size)], kind)
        for each, kind in zip([[r[n] for r in rows] for n in range(3)], kinds, strict=True)
    ]
    texts, numbers, blobs = columns
    made = binary_copy.rows(
        [binary_copy.texts(texts), binary_copy.doubles(numbers), binary_copy.blobs(blobs, b"HEAD", 5)]
    )
    assert bytes(made) == b"".join(row(*each) for each in rows)


def test_a_column_of_nothing_is_null():
    """A part in which nobody has an address has a column without a type."""
    column = pa.chunked_array([pa.nulls(2)])
    assert bytes(binary_copy.rows([binary_copy.texts(column)])) == 2 * struct.pack(">hi", 1, -1)
