"""What the tables say, without ids and times."""

from tests.conftest import rows

TABLES = {
    "parcels": "SELECT parcel_id, tile, zoning_code, zoning_code_local, land_use, address, attributes::text, area_m2,"
    " content_hash, ST_AsEWKB(geom) FROM zoning.parcel",
    "versions": "SELECT parcel_id, zoning_code, content_hash FROM zoning.parcel_version",
    "districts": "SELECT district_id, code, code_local, zone_type, content_hash FROM zoning.district",
    "old districts": "SELECT district_id, code, content_hash FROM zoning.district_version",
    "rejections": "SELECT tile, feed, reason, state, raw::text FROM zoning.rejection WHERE state <> 'superseded'",
    "batches": "SELECT tile, feed, harvest, counts - 'layer' FROM zoning.batch"
    " WHERE feed IN ('parcels', 'zoning')",  # shares follow what stands when they are made
    "shares": "SELECT parcel_id, facet, code, area_m2, fraction, rank, listed, effective FROM zoning.parcel_zoning",
    "best lots": "SELECT district_id, parcel_id FROM zoning.best_lot",
    "codes": "SELECT local, code, zone_type FROM zoning.code",
    "changes": "SELECT id, kind, state, facet, parcel_ids, old, new, area_m2, share, confidence, effective,"
    " ST_AsEWKB(geom) FROM zoning.change",
    "amendments": "SELECT id, case_numbers, ordinance_numbers, kind, status, dates::text, parcel_ids, old_codes,"
    " new_codes, source, confidence, questions FROM zoning.amendment",
    "old amendments": "SELECT id, status FROM zoning.amendment_version",
    "matches": "SELECT amendment_id, change_id, score, reasons FROM zoning.amendment_match",
    "failures": "SELECT jurisdiction, feed, tile FROM zoning.failure WHERE state <> 'solved'",
}
Content = dict[str, list[str]]


def of(url: str) -> Content:
    """Each table's rows, as text, in order."""
    return {name: sorted(map(repr, rows(url, query))) for name, query in TABLES.items()}


def differences(found: Content, wanted: Content) -> dict[str, tuple[list[str], list[str]]]:
    """By table: some of what should not be there, and of what is missing."""
    differing = {name for name in TABLES if found[name] != wanted[name]}
    return {
        name: tuple([each[:300] for each in sorted(set(a) - set(b))[:3]] or [f"{len(a)} rows"] for a, b in pairs)
        for name in sorted(differing)
        if (pairs := ((found[name], wanted[name]), (wanted[name], found[name])))
    }
