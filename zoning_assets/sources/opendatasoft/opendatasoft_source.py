"""Opendatasoft datasets, through one export of all rows. The endpoint `records` is not used; it ends at row 10,000.

Source: help.opendatasoft.com, "Explore API Reference Documentation (v2.1)". It was written from this documentation and
not tested against a real portal (docs/explanation/portals.md).
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from zoning_assets.errors import FeedRefused, FileRefused, HarvestIncomplete, NotALayer, PortalUnreachable
from zoning_assets.redaction import without_secrets
from zoning_assets.sources import row_filter
from zoning_assets.sources.completeness import prove
from zoning_assets.sources.download.resumable_file import ResumableFile
from zoning_assets.sources.files import file_reader
from zoning_assets.sources.files.file_reader import LayerFile
from zoning_assets.sources.full_layer import FullLayer, LocalLayer
from zoning_assets.sources.paging import cache_manifest, json_fields, polling
from zoning_assets.sources.source import Request, check_columns
from zoning_assets.transform.decode.json_pages import decode

_PAGE = re.compile(r"/explore/(?:embed/)?(?:dataset|assets)/([^/]+)(?:/.*)?")
_API = re.compile(r"/api/.*?/datasets/([^/]+)(?:/.*)?")
_EXPORT = {"limit": "-1", "epsg": "4326", "timezone": "UTC", "use_labels": "false"}
#: `data_processed` changes with the data; `modified` is a date that the publisher enters.
_SIGNALS = ("data_processed", "modified")


@dataclass(frozen=True)
class OpendatasoftDataset:
    """The parsed metadata of a dataset with records."""

    columns: Sequence[str]
    managed: Sequence[str]  # points that the portal derives from the shapes
    stamp: Mapping[str, Any]


async def open_source(request: Request) -> FullLayer:
    """Export the dataset, unless a fresh export exists, and prove that it is complete.

    Raises:
        NotALayer: the address names no dataset, or one without shapes.
        FileRefused: the export is not GeoJSON, or is cut short.
        HarvestIncomplete, JurisdictionInvalid, PortalError: see errors.py.
    """
    where = f"{request.where} at {without_secrets(request.feed.url)}"
    url = _address(request.feed.url, where)
    dataset = await _describe(request, url, where)
    check_columns(request, list(dataset.columns))
    file, of = request.folder / "export.geojson", {**request.selection, "url": url, "stamp": dict(dataset.stamp)}
    note = await asyncio.to_thread(cache_manifest.find, file, of)
    if note is None:
        note = await _export(request, url, dataset, file, of)
    found = await asyncio.to_thread(_layer, file, where)
    return FullLayer(request, _here(found, dataset, note))


async def probe(request: Request) -> dict[str, Any]:
    """Return the dataset's signals, equal to the stamp of a harvest, with one request (two with `where`).

    Raises:
        NotALayer, HarvestIncomplete, PortalError: see errors.py.
    """
    where = f"{request.where} at {without_secrets(request.feed.url)}"
    return dict((await _describe(request, _address(request.feed.url, where), where)).stamp)


def _address(url: str, where: str) -> str:
    """The API address of the dataset that an address names, in any of the forms that the portal shows."""
    parts = urlsplit(url)
    match = _PAGE.fullmatch(parts.path) or _API.fullmatch(parts.path)
    if match is None or parts.scheme not in ("http", "https"):
        do = "use an address like https://data.example.org/explore/dataset/NAME/"
        raise NotALayer("the address names no dataset of Opendatasoft", where=where, do=do)
    name = quote(unquote(match[1]), safe="@")  # NAME@DOMAIN: a dataset of another portal
    return f"{parts.scheme}://{parts.netloc}/api/explore/v2.1/catalog/datasets/{name}"


async def _describe(request: Request, url: str, where: str) -> OpendatasoftDataset:
    def read(body: bytes) -> Mapping[str, Any]:
        return json_fields.object_of(decode(body))

    answer = await polling.query(request, url, {}, read)
    dataset = describe(answer.value, where)
    if not request.feed.where:
        return dataset
    try:
        answer = await polling.query(request, f"{url}/records", {**_selected(request), "limit": "1"}, read)
    except (FeedRefused, PortalUnreachable) as refusal:
        raise row_filter.refused(request, refusal) from refusal
    count = json_fields.count(answer.value.get("total_count"))
    if count is None:
        raise row_filter.unsupported(request, "the portal does not count the records that meet it")
    return replace(dataset, stamp={**dataset.stamp, "count": count})


def _selected(request: Request) -> dict[str, str]:
    """The parameter that selects the rows of the feed."""
    return {"where": request.feed.where} if request.feed.where else {}


def describe(document: Mapping[str, Any], where: str) -> OpendatasoftDataset:
    """Parse a dataset's metadata.

    Raises:
        FeedRefused: it is an error.
        NotALayer: it has no records, no shapes, or several columns of shapes.
        HarvestIncomplete: it has no count of its records.
    """
    if document.get("error_code"):
        what = f"{json_fields.text(document.get('message'))} ({json_fields.text(document.get('error_code'))})"
        raise FeedRefused(what, where=where, do="check the address")
    listed = json_fields.objects(document.get("fields"))
    kinds = {json_fields.text(each.get("name")): json_fields.text(each.get("type")) for each in listed}
    shapes = [name for name, kind in kinds.items() if kind == "geo_shape"]
    if document.get("has_records") is False or not kinds:
        raise NotALayer("the dataset has no records", where=where, do="look at its attachments")
    if len(shapes) != 1:
        what = f"several columns of shapes: {', '.join(shapes)}" if shapes else "no column of shapes"
        raise NotALayer(f"the dataset has {what}; an export has one", where=where, do="use another dataset")
    metas = json_fields.member(document, "metas", "default")
    count = json_fields.count(json_fields.member(metas, "records_count"))
    if count is None:
        do = "use another feed of this portal"
        raise HarvestIncomplete("the portal does not count the dataset's records", where=where, do=do)
    return OpendatasoftDataset(
        columns=[name for name in kinds if name],
        managed=[name for name, kind in kinds.items() if kind == "geo_point_2d"],
        stamp={"count": count, **{name: json_fields.signal(json_fields.member(metas, name)) for name in _SIGNALS}},
    )


async def _export(
    request: Request, url: str, dataset: OpendatasoftDataset, file: Path, of: Mapping[str, Any]
) -> dict[str, Any]:
    """Fetch all rows into a file, prove that they are complete, and return the file's note."""
    address = f"{url}/exports/geojson?{urlencode(_EXPORT | _selected(request))}"
    part, proof = ResumableFile(request.folder / "export.part", {}, request.where), dict[str, Any]()
    with closing(part):
        fetch = partial(request.http.fetch, request.jurisdiction.portal, address, part)
        await polling.poll(request, url, fetch)
        sha256 = await asyncio.to_thread(part.check)
        try:
            rows = await asyncio.to_thread(_rows, part.path, request.where)
            after = (await _describe(request, url, request.where)).stamp
            evidence = {"rows in the export": (rows, dataset.stamp["count"])}
            evidence |= {f"{name} after": (after[name], value) for name, value in dataset.stamp.items()}
            prove(request.where, evidence, proof)
        except (FileRefused, HarvestIncomplete):
            part.forget()
            raise
        return await asyncio.to_thread(cache_manifest.keep, part.path, file, of, {"sha256": sha256, "proof": proof})


def _layer(file: Path, where: str) -> LayerFile:
    """The layer in an export, whatever its actual format is."""
    return file_reader.find_layer(file, where=where, layer=None, into=file.parent / "unpacked")


def _rows(file: Path, where: str) -> int:
    return sum(map(len, file_reader.batches(_layer(file, where))))


def _here(found: LayerFile, dataset: OpendatasoftDataset, note: Mapping[str, Any]) -> LocalLayer:
    layer = {"crs": found.crs, "managed": ["fid", *dataset.managed]}
    stamp = {"sha256": note["sha256"], **dataset.stamp}
    return LocalLayer("arrow", layer, stamp, dataset.stamp["count"], lambda: file_reader.batches(found), note["proof"])
