"""Check what a person asks for before a subscription is stored: the target of each kind of sink, and the filter."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import shapely
from shapely.errors import ShapelyError

from zoning_assets.errors import SettingInvalid
from zoning_assets.redaction import without_secrets
from zoning_assets.storage.postgis.records.subscription_records import ATOM, DELTA, EMAIL, POSTGIS, SINKS, WEBHOOK
from zoning_assets.subscriptions import address_check, email_sink, postgis_copy, webhook_signature

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LONGEST = 2000
#: The most vertices of an area; each event is compared with it.
_MOST_VERTICES = 10_000


def check_name(name: str) -> str:
    """Return the name of a subscription.

    Raises:
        SettingInvalid: it has other characters than a-z, 0-9 and -.
    """
    if not _NAME.fullmatch(name):
        raise SettingInvalid(f"{name!r} is not a name", where="NAME", do="use a-z, 0-9 and -, such as city-hall")
    return name


def check_target(sink: str, target: str) -> tuple[str, str]:
    """Check the target of a sink.

    Returns:
        The complete target, and the target without secrets for lists and logs.

    Raises:
        SettingInvalid: the sink is unknown, or the target is none of its kind.
    """
    if sink not in SINKS:
        raise SettingInvalid(f"{sink!r} is not a kind of sink", where="SINK", do=f"choose one of: {', '.join(SINKS)}")
    if not target.isprintable() or not 0 < len(target) <= _LONGEST:
        raise SettingInvalid("it is empty, too long, or has control characters", where="TARGET", do="correct it")
    if sink == EMAIL:
        return target, email_sink.check_address(target, "TARGET")
    if sink in (ATOM, DELTA):
        return _folder(target)
    schemes = {WEBHOOK: ("https", "http"), POSTGIS: ("postgresql", "postgres")}[sink]
    try:
        parts = urlsplit(target)
        is_valid = parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise SettingInvalid(f"it is no address of a {sink}", where="TARGET", do=f"give {schemes[0]}://HOST/...")
    return target, without_secrets(target)


def check_table(sink: str, table: str | None) -> str | None:
    """Return the table of a postgis sink; None for other sinks.

    Raises:
        SettingInvalid: it is not the name of a table, or the sink has none.
    """
    if sink != POSTGIS:
        if table:
            raise SettingInvalid("only the sink postgis has a table", where="--table", do="leave it out")
        return None
    return postgis_copy.table_name(table or "zoned_parcel", "--table")


def signing_key(sink: str, given: str | None) -> str | None:
    """The signing key of a webhook: the given one, or a new one. None for other sinks.

    Raises:
        SettingInvalid: the given one is no key, or the sink has none.
    """
    if sink != WEBHOOK:
        if given:
            raise SettingInvalid("only a webhook has a signing key", where="--key-file", do="leave it out")
        return None
    if given is None:
        return webhook_signature.new_key()
    try:
        webhook_signature.key_bytes(given)
    except ValueError as error:
        raise SettingInvalid(str(error), where="--key-file", do="leave it out to get a new key") from None
    return given


def check_networks(allowed: Sequence[str]) -> list[str]:
    """Return networks in their usual notation.

    Raises:
        SettingInvalid: one is not a network in CIDR notation.
    """
    try:
        return [str(each) for each in address_check.networks(allowed)]
    except ValueError as error:
        raise SettingInvalid(str(error), where="--allow-network", do="give it like 10.1.0.0/16") from None


def check_host(sink: str, target: str, allowed: Sequence[str]) -> None:
    """Refuse a webhook at an address in numbers that no delivery would call. A name is resolved at each delivery.

    Raises:
        SettingInvalid: the address is not public, and in none of the allowed networks.
    """
    host = urlsplit(target).hostname if sink == WEBHOOK else None
    try:
        address_check.check_address("127.0.0.1" if host == "localhost" else host or "", address_check.networks(allowed))
    except address_check.AddressRefused as error:
        raise SettingInvalid(str(error), where="TARGET", do="allow it with --allow-network") from None
    except ValueError:
        return


def like_pattern(pattern: str) -> str:
    r"""Convert a pattern with * (any characters) and ? (one character) to one of LIKE, whose escape character is \."""
    escaped = re.sub(r"([\\%_])", r"\\\1", pattern)
    return escaped.replace("*", "%").replace("?", "_")


def area_of_bbox(text: str) -> str:
    """The area of `west,south,east,north` in degrees, as GeoJSON.

    Raises:
        SettingInvalid: it is not a bounding box.
    """
    try:
        west, south, east, north = map(float, text.split(","))
    except ValueError:
        west, south, east, north = 1.0, 0.0, 0.0, 0.0
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        do = "give west,south,east,north in degrees, such as -71.17,42.35,-71.06,42.41"
        raise SettingInvalid(f"{text!r} is not a bounding box", where="--bbox", do=do)
    return str(shapely.to_geojson(shapely.box(west, south, east, north)))


def area_of_file(body: bytes, where: str) -> str:
    """The polygons of a GeoJSON document as one GeoJSON geometry; EPSG:4326, longitude first.

    Raises:
        SettingInvalid: it has no polygon, or more than 10,000 vertices.
    """
    try:
        shapes = [shapely.from_geojson(orjson.dumps(each)) for each in _geometries(orjson.loads(body))]
        union = shapely.union_all([shapely.make_valid(shape) for shape in shapes])
    except (orjson.JSONDecodeError, ShapelyError, KeyError, TypeError, AttributeError, RecursionError):
        union = shapely.Polygon()
    west, south, east, north = union.bounds if not union.is_empty else (0.0, 0.0, 0.0, 0.0)
    if union.area == 0 or west < -180 or east > 180 or south < -90 or north > 90:
        do = "give GeoJSON with polygons in degrees, longitude first"
        raise SettingInvalid("it has no polygon on the earth", where=where, do=do)
    if shapely.get_num_coordinates(union) > _MOST_VERTICES:
        raise SettingInvalid(f"it has more than {_MOST_VERTICES:,} vertices", where=where, do="simplify it")
    return str(shapely.to_geojson(union))


def _geometries(document: Mapping[str, Any]) -> list[Any]:
    if document["type"] == "FeatureCollection":
        return [each["geometry"] for each in document["features"] if each["geometry"]]
    return [document["geometry"] if document["type"] == "Feature" else document]


def _folder(target: str) -> tuple[str, str]:
    try:
        scheme = urlsplit(target).scheme
    except ValueError:  # such as s3://[
        scheme = ""
    if scheme in ("s3", "gs", "az"):
        return target, without_secrets(target)
    if "://" in target:
        raise SettingInvalid("its scheme is not supported", where="TARGET", do="give a folder, s3://, gs:// or az://")
    path = str(Path(target).absolute())
    return path, path
