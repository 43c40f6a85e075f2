"""PostgreSQL's binary COPY format, written column by column."""

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
    """A row as the manual describes it, one field after another."""
    fields = (
        text and text.encode(),
        number if number is None else struct.pack(">d", number),
        blob and b"HEAD" + blob[5:],
    )
    return struct.pack(">h", 3) + b"".join(map(field, (b"" if text == "" else fields[0], *fields[1:])))


@given(rows, st.integers(1, 4))
def test_columns_give_the_same_bytes_as_rows(rows, size):
    """Also with null, empty and non-ASCII values, and with columns in several chunks."""
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


def test_a_column_without_values_is_null():
    """In a part without any address the column has the null type."""
    column = pa.chunked_array([pa.nulls(2)])
    assert bytes(binary_copy.rows([binary_copy.texts(column)])) == 2 * struct.pack(">hi", 1, -1)
