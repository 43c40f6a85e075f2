"""Each of the 47 things that real portals do (docs/explanation/portals.md) is handled or refused by name, and a test
says so."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]

#: Row of docs/explanation/portals.md -> file and test, or a fault of the lying portal, which test_chaos.py lets loose
#: by itself.
QUIRKS: dict[int, tuple[str, ...]] = {
    1: (
        "error_200_passing",
        "error_200_final",
        "transform/decode/test_esri_json.py::test_the_recorded_error_is_refused",
    ),
    2: ("cap_below_advertised", "cap_unsaid"),
    3: ("big_pages_fail", "sources/arcgis/test_recorded_layers.py::test_a_page_size_is_a_sensible_number"),
    4: ("no_paging", "paging_refused"),
    5: ("no_paging", "sources/arcgis/test_recorded_layers.py::test_a_polygon_layer_is_understood"),
    6: ("fields_refused",),
    7: ("statistics_wrong", "statistics_renamed", "statistics_refused"),
    8: (
        "count_ignored",
        "ids_ignored",
        "sources/arcgis/test_arcgis_source.py::test_a_server_that_neither_counts_nor_lists_is_walked_twice",
    ),
    9: ("float_ids", "transform/decode/test_esri_json.py::test_a_page_is_counted_without_its_shapes"),
    10: ("transform/decode/test_esri_json.py::test_large_numbers_are_whole",),
    11: ("unordered_pages", "order_ignored"),
    12: (
        "offset_ignored",
        "sources/ogc_api_features/test_ogc_source.py::test_a_server_that_ignores_its_own_offsets_is_refused",
    ),
    13: ("geometry_poison", "sources/arcgis/test_arcgis_source.py::test_a_row_that_the_server_cannot_give_is_named"),
    14: ("transform/decode/test_esri_curves.py::test_a_circular_arc_runs_through_its_inner_point",),
    15: ("transform/decode/test_esri_json.py::test_rings_are_put_together_by_containment",),
    16: ("transform/decode/test_esri_json.py::test_each_case_comes_out_as_stated",),
    17: ("transform/decode/test_esri_json.py::test_each_case_comes_out_as_stated",),
    18: ("transform/decode/test_esri_json.py::test_each_case_comes_out_as_stated",),
    19: ("transform/decode/test_geojson.py::test_polygons_however_they_are_wound",),
    20: ("transform/decode/test_esri_json.py::test_a_recorded_sliver_is_rejected_with_its_flaw",),
    21: ("bare_nan", "transform/decode/test_esri_json.py::test_a_page_with_bare_nan_parses"),
    22: ("transform/decode/test_esri_pbf.py::test_heights_and_measures_are_left_behind",),
    23: ("transform/decode/test_esri_json.py::test_multipatches_are_refused_by_name",),
    24: ("transform/decode/test_esri_json.py::test_esris_own_numbers_mean_the_same_places",),
    25: ("transform/decode/test_esri_json.py::test_a_crs_that_is_only_wkt_is_understood",),
    26: ("sources/arcgis/test_recorded_layers.py::test_a_reference_is_understood_or_not",),
    27: ("transform/decode/test_esri_json.py::test_dates_before_1970_are_days",),
    28: ("transform/decode/test_esri_pbf.py::test_codes_of_domains_and_dates_are_left_as_they_are",),
    29: ("token_wall", "token_wall_later", "login_302"),
    30: ("long_get_refused", "http/test_client.py::test_a_long_query_goes_by_post"),
    31: (
        "gateway_504_html",
        "sources/arcgis/test_arcgis_source.py::test_pages_that_are_too_large_are_asked_for_in_smaller_pieces",
    ),
    32: ("http/test_client.py::test_a_block_page_that_stays_is_refused_by_name",),
    33: ("storm_429", "unavailable_503", "http/test_client.py::test_retry_after_is_obeyed"),
    34: ("gateway_504_html",),
    35: ("http/test_answers.py::test_what_cannot_be_verified_is_not_asked",),
    36: ("transform/decode/test_esri_pbf.py::test_a_recorded_answer_equals_its_twin",),
    37: ("sources/arcgis/test_recorded_layers.py::test_a_damaged_description_is_refused",),
    38: ("storage/object_store/test_feed_baselines.py::test_an_empty_layer_is_refused_at_the_first_harvest",),
    39: ("sources/arcgis/test_recorded_layers.py::test_a_table_and_a_locked_layer_are_refused_by_name",),
    40: ("sources/socrata/test_socrata_source.py::test_rows_without_order_are_refused",),
    41: ("sources/opendatasoft/test_opendatasoft_source.py::test_an_export_of_other_than_the_counted_rows_is_refused",),
    42: ("sources/ckan/test_ckan_source.py::test_every_row_comes_once",),
    43: ("sources/ogc_api_features/test_ogc_source.py::test_all_rows_come_whatever_the_servers_habits",),
    44: ("sources/wfs/test_wfs_source.py::test_the_order_of_axes_is_decided_by_the_bounds",),
    45: ("sources/files/geojson/test_geojson_file.py::test_a_change_of_format_changes_nothing",),
    46: (
        "sources/download/test_async_export.py::test_twelve_polls_and_no_more",
        "sources/download/test_async_export.py::test_a_stale_file_is_told",
    ),
    47: ("transform/test_normalize.py::test_what_servers_renumber_is_no_attribute",),
}


def test_all_47_rows_are_there() -> None:
    """One entry a row, none forgotten."""
    assert sorted(QUIRKS) == list(range(1, 48))


@pytest.mark.parametrize("row", sorted(QUIRKS))
def test_a_row_has_a_test_that_exists(row: int) -> None:
    """The table does not go stale: each test it names is there, and each fault is one of the lying portal's."""
    from zoning_assets.simulation.chaos import FAULTS  # noqa: PLC0415

    for name in QUIRKS[row]:
        file, _, test = name.partition("::")
        if test:
            assert re.search(rf"^(async )?def {test}\(", (HERE / file).read_text(), re.MULTILINE), name
        else:
            assert name in FAULTS
