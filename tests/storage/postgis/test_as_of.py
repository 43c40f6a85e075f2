"""What applied on a day, as known at a time: a table of facts, and the expected results."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.databases import copied

PLACE = "us-xx-town"
#: parcel, facet, code, known from, known until, legal from, legal until. What is known still is no version.
FACTS = [
    # rezoned: passed in January, known in March
    ("rezoned", "base", "A", "2020-03-01 12:00", "2024-03-01 12:00", "1990-05-01", "2024-01-15"),
    ("rezoned", "base", "B", "2024-03-01 12:00", None, "2024-01-15", None),
    # without dates, we know only when we knew
    ("undated", "base", "A", "2020-03-01 12:00", "2024-03-01 12:00", None, None),
    ("undated", "base", "B", "2024-03-01 12:00", None, None, None),
    # known before it applies, and then withdrawn
    ("planned", "base", "A", "2020-03-01 12:00", "2024-03-01 12:00", "1990-05-01", "2025-01-01"),
    ("planned", "base", "B", "2024-03-01 12:00", "2024-10-01 12:00", "2025-01-01", "1990-05-01"),
    ("planned", "base", "A", "2024-10-01 12:00", None, "1990-05-01", None),
    # an old mistake of the map: B for years, as all know since March
    ("mended", "base", "A", "2020-03-01 12:00", "2024-03-01 12:00", "2015-01-01", "2010-01-01"),
    ("mended", "base", "B", "2024-03-01 12:00", None, "2010-01-01", None),
    # twice in one day
    ("hasty", "base", "A", "2020-03-01 12:00", "2024-03-01 09:00", None, None),
    ("hasty", "base", "B", "2024-03-01 09:00", "2024-03-01 17:00", None, None),
    ("hasty", "base", "C", "2024-03-01 17:00", None, None, None),
    # retired, and back
    ("retired", "base", "A", "2020-03-01 12:00", "2024-03-01 12:00", "1990-05-01", None),
    ("back", "base", "A", "2020-03-01 12:00", "2024-03-01 12:00", None, None),
    ("back", "base", "A", "2024-09-01 12:00", None, None, None),
    # an overlay of 2020 on a base of 1961: each since its own day
    ("overlaid", "base", "A", "2022-03-01 12:00", None, "1961-12-15", None),
    ("overlaid", "overlay", "H", "2022-03-01 12:00", None, "2020-06-01", None),
    # a base that says no date, below an overlay that does: the new base is no older than we know
    ("below", "base", "A", "2020-03-01 12:00", "2024-03-01 12:00", None, None),
    ("below", "base", "B", "2024-03-01 12:00", None, None, None),
    ("below", "overlay", "H", "2024-03-01 12:00", None, "1980-01-01", None),
    # two codes of one lot, the second since 2015
    ("split", "base", "A", "2022-03-01 12:00", None, "1961-12-15", None),
    ("split", "base", "B", "2022-03-01 12:00", None, "2015-02-02", None),
]
#: parcel, day, moment, codes
ANSWERS = [
    ("rezoned", None, None, "B"),
    ("rezoned", None, "2024-02-01", "A"),
    ("rezoned", "2024-02-01", None, "B"),
    ("rezoned", "2024-02-01", "2024-02-20", "A"),
    ("rezoned", "2024-01-14", None, "A"),
    ("rezoned", "2024-01-15", None, "B"),
    ("rezoned", "1990-04-30", None, ""),
    ("rezoned", "2024-02-01", "2019-01-01", ""),
    ("undated", "2024-02-01", None, "A"),
    ("undated", "2024-03-01", None, "B"),
    ("undated", "2024-03-01", "2024-03-01 11:00", "A"),
    ("undated", "2019-01-01", None, ""),
    ("planned", "2024-09-01", "2024-09-01", "A"),
    ("planned", "2025-02-01", "2024-09-01", "B"),
    ("planned", "2025-02-01", None, "A"),
    ("planned", None, "2024-09-01", "B"),
    ("mended", "2020-01-01", None, "B"),
    ("mended", "2012-01-01", None, "B"),
    ("mended", "2020-01-01", "2024-02-01", "A"),
    ("mended", "2012-01-01", "2024-02-01", ""),
    ("hasty", "2024-03-01", None, "C"),
    ("hasty", "2024-02-29", None, "A"),
    ("hasty", "2024-03-01", "2024-03-01 08:00", "A"),
    ("hasty", "2024-03-01", "2024-03-01 12:00", "B"),
    ("hasty", None, "2024-03-01 09:00", "B"),
    ("retired", None, None, ""),
    ("retired", None, "2024-02-01", "A"),
    ("retired", "2024-03-01", None, ""),
    ("retired", "2024-02-29", None, "A"),
    ("retired", "2024-06-01", "2024-02-01", "A"),
    ("back", "2024-07-01", None, ""),
    ("back", "2024-09-01", None, "A"),
    ("back", "2024-07-01", "2024-08-01", ""),
    ("overlaid", None, None, "A H"),
    ("overlaid", "2005-01-01", None, "A"),
    ("overlaid", "2020-06-01", None, "A H"),
    ("overlaid", "2005-01-01", "2021-01-01", ""),
    ("below", "2005-01-01", None, "H"),
    ("below", "2021-01-01", None, "A H"),
    ("below", "2024-03-01", None, "B H"),
    ("split", "2005-01-01", None, "A"),
    ("split", "2015-02-02", None, "A B"),
]
ZONING = """
    INSERT INTO zoning.parcel_zoning{} SELECT %(place)s, %(parcel)s, %(facet)s, %(code)s, 1, 0.5, 1, true,
        %(legal)s::date, 1, %(start)s::timestamptz {}
"""
PARCEL = """
    INSERT INTO zoning.parcel{} SELECT %(place)s, %(parcel)s, '86', %(code)s, %(code)s, NULL, NULL, '{{}}', 1,
        ST_Multi(ST_MakeEnvelope(0, 0, 1, 1, 4326)), %(code)s, 1, %(start)s::timestamptz, %(start)s::timestamptz {}
"""
VERSION = ", %(start)s::timestamptz, %(end)s::timestamptz, {}, 2"


@pytest.fixture(scope="module")
def town(server: str, template: str) -> Iterator[psycopg.Connection]:
    """The facts, stored for two jurisdictions: the second must not change the result."""
    with copied(server, template) as (_, url), psycopg.connect(url) as connection:
        connection.execute("SET timezone TO 'UTC'")
        for place in (PLACE, "us-yy-town"):
            for parcel, facet, code, start, end, legal, legal_end in FACTS:
                values = {"place": place, "parcel": parcel, "facet": facet, "code": code, "start": start, "end": end}
                values |= {"legal": legal, "legal_end": legal_end}
                legal_span, rest = "%(legal)s::date, %(legal_end)s::date", "_version" if end else ""
                connection.execute(ZONING.format(rest, VERSION.format(legal_span) if end else ""), values)
                if facet == "base" and parcel in ("undated", "hasty", "retired", "back"):
                    connection.execute(PARCEL.format(rest, VERSION.format("NULL, NULL") if end else ""), values)
        yield connection


@pytest.mark.parametrize(("parcel", "day", "moment", "codes"), ANSWERS)
def test_zoning_as_of(town: psycopg.Connection, parcel: str, day: str, moment: str, codes: str) -> None:
    query = "SELECT code FROM zoning.zoning_as_of(%s, %s::date, %s::timestamptz) WHERE parcel_id = %s ORDER BY 1"
    assert " ".join(code for (code,) in town.execute(query, (PLACE, day, moment, parcel))) == codes


@pytest.mark.parametrize(
    ("parcel", "day", "moment", "codes"), [row for row in ANSWERS if row[0] in ("undated", "hasty", "back")]
)
def test_parcel_as_of(town: psycopg.Connection, parcel: str, day: str, moment: str, codes: str) -> None:
    """Parcels have no legal days; otherwise they follow the same rules as their zoning."""
    query = "SELECT zoning_code FROM zoning.parcel_as_of(%s, %s::date, %s::timestamptz) WHERE parcel_id = %s"
    assert " ".join(code for (code,) in town.execute(query, (PLACE, day, moment, parcel))) == codes


def test_a_retired_parcel_is_found_only_before_its_retirement(town: psycopg.Connection) -> None:
    query = "SELECT count(*) FROM zoning.parcel_as_of(%s, %s::date, NULL) WHERE parcel_id = 'retired'"
    assert [town.execute(query, (PLACE, day)).fetchone() for day in ("2024-02-29", "2024-03-01")] == [(1,), (0,)]


def test_the_result_does_not_depend_on_the_time_zone(town: psycopg.Connection) -> None:
    """Days are UTC days, whatever the time zone of the session."""
    query = "SELECT parcel_id, facet, code FROM zoning.zoning_as_of(%s, '2024-03-01', NULL) ORDER BY 1, 2, 3"
    answers = []
    for zone in ("UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"):
        town.execute(f"SET timezone TO '{zone}'")
        answers.append(town.execute(query, (PLACE,)).fetchall())
    town.execute("SET timezone TO 'UTC'")
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]) > 8
