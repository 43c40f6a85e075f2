"""Proves that a page, and then a layer, is complete: what was received is compared with what the portal states.

The table lists the checks of each way of harvesting; a function without a module is defined here. A check that fails
raises HarvestIncomplete (FileRefused for a downloaded file), and nothing of the harvest is published.

    ArcGIS, list of ids    page   ids_not_received: only requested rows came; missing ones are requested again
                                  arcgis/page_walks.checked_pages: no row came twice
                           layer  arcgis/id_list_scan.IdListSource._walked: the rows are exactly those of the list
                                  IdListSource._prove: the list and the last edit are the same after the harvest
    ArcGIS, full scan      page   by ordered offsets: arcgis/page_walks.checked_pages: no row came twice
                                  by ranges or lists of ids: checked_pages, and ids_not_received if ids are listed
                                  by area: page_walks.by_area: a box has the rows of its count or of its quarters
                           layer  arcgis/full_scan._Walked._settle: the rows reach both the count and the list of ids;
                                  by area they equal one of them, or the sum of the server's statistics
                                  then paging/paged_layer._walked, as below
    paged APIs: WFS,       page   check_page_rows: a page has as many rows as it states (WFS, OGC API)
    OGC API, Socrata,             paging/repeated_pages (WFS, OGC API), paging/by_offset (others): no page came twice
    CKAN datastore         layer  paging/paged_layer._walked: the rows are as many as the portal counts, or equal those
                                  of a second walk; the layer's signals are the same after the harvest
                                  paging/hidden_rows: MapServer leaves out no row without a shape
    Opendatasoft           layer  opendatasoft/opendatasoft_source._export: the rows are as many as the portal counts
    downloaded files       file   download/resumable_file.ResumableFile.check: its length and its checksums
                           page   files/file_reader.batches: the file has as many rows as it states
                           layer  full_layer.FullLayer.pages: the rows are as many as the file states
    part of a layer        before arcgis/clause_check, check_filter of WFS and OGC API: the server obeys the clause
    (`where`)              layer  as above; each count, list and page has the clause
                           file   files/row_selection: the rows have exactly the ids that GDAL selects
    joined tables, maps    page   pipeline/join_harvest, pipeline/map_layers: a page is decoded to its counted rows
    with overlays          layer  as above, each table and each layer by its own feed type

`prove` compares numbers and signals, and stores them as the proof of the harvest. The pipeline then checks that a
decoded page has the rows that were counted (pipeline/extract._check_counts), and that the rows of an update are exactly
those that the layer lists (pipeline/incremental_harvest.IncrementalHarvest.merged).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from zoning_assets.errors import HarvestIncomplete

_AGAIN = "run again; nothing was published"


def prove(where: str, evidence: Mapping[str, tuple[Any, Any]], proof: dict[str, Any]) -> None:
    """Compare what was received with what the portal states, and store it as the proof.

    Args:
        where: for messages.
        evidence: name -> (the value received, the value that the portal states).
        proof: receives the evidence.

    Raises:
        HarvestIncomplete: two values differ.
    """
    proof.update({name: expected for name, (_, expected) in evidence.items()})
    for name, (received, expected) in evidence.items():
        if received != expected:
            raise HarvestIncomplete(
                f"{name}: received {received}, the portal states {expected}",
                where=where,
                do=_AGAIN,
            )


def ids_not_received(
    requested: npt.NDArray[np.int64], received: npt.NDArray[np.int64], where: str, id_column: str
) -> npt.NDArray[np.int64]:
    """The requested ids whose rows a page lacks; they are requested again.

    Args:
        requested: the ids of a request, sorted, at least one.
        received: the ids of the page's rows.
        where: for messages.
        id_column: the name of the object id's column, for messages.

    Raises:
        HarvestIncomplete: none of the requested rows came, or other rows came.
    """
    came = np.isin(requested, received)
    if not came.any():
        what = f"no row came for ids {requested[0]} to {requested[-1]}, which the server lists"
        raise HarvestIncomplete(what, where=where, do=_AGAIN)
    others = np.setdiff1d(received, requested)
    if len(others):
        what = f"received rows that were not requested, such as {id_column} {others[0]}"
        raise HarvestIncomplete(what, where=where, do=_AGAIN)
    missing: npt.NDArray[np.int64] = requested[~came]
    return missing


def check_page_rows(stated: int | None, received: int, where: str) -> None:
    """Check that a page has as many rows as it states. `stated`: None if it does not state it.

    Raises:
        HarvestIncomplete: it has more or fewer rows.
    """
    if stated not in (None, received):
        raise incomplete(where, f"a page has {received:,} rows, but states {stated:,}")


def incomplete(where: str, what: str) -> HarvestIncomplete:
    """The error for rows of a portal that cannot be proven complete by another try."""
    return HarvestIncomplete(what, where=where, do="use another feed of this portal; nothing was published")
