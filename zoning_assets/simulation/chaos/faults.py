"""The faults by name. They are combined in this order: faults of rows first, faults of the network last."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from zoning_assets.simulation.chaos import capabilities, edits, network, pages, summaries
from zoning_assets.simulation.chaos.exchange import FaultFactory, seeded_random

#: The results that a correct client may have with a fault: all correct rows; all correct rows or an error; an error.
PASSING, PROVABLE, FATAL = "passing", "provable", "fatal"
_OUTCOMES = (PASSING, PROVABLE, FATAL)


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        name: its name.
        outcome: the results that a correct client may have.
        make: starts it.
        words: the message of an error must contain one of them, in upper or lower case.
        avoidable: a careful client may never send a request that the fault affects.
    """

    name: str
    outcome: str
    make: FaultFactory
    words: tuple[str, ...] = ()
    avoidable: bool = False


_BETWEEN, _STAMPED = "_between_pages", "_stamped"
_ROWS = ("came twice", "came again", "received", "the portal states", "the server lists", "the server returns", "count")
_CHANGED = ("changed", "edited", *_ROWS)
_IDS = ("ids", "the layer fell", *_ROWS)
_TOKEN = ("499", "token")
_HTML = ("html", "json", "a web page")
_COLUMN = ("column", "field")


def _edits() -> Iterator[Fault]:
    for kind in edits.KINDS:
        for stamped in (False, True):
            name = f"{kind}{_BETWEEN}{_STAMPED if stamped else ''}"
            yield Fault(name, PROVABLE, edits.between_pages(kind, stamped=stamped), _CHANGED)


def _row_faults() -> Iterator[Fault]:
    yield from _edits()
    yield Fault("unordered_pages", PASSING, pages.unordered(orders=True), _ROWS, avoidable=True)
    yield Fault("order_ignored", PROVABLE, pages.unordered(orders=False), _ROWS, avoidable=True)
    yield Fault("offset_ignored", PROVABLE, pages.offset_ignored, ("ignores the offset", *_ROWS), avoidable=True)
    yield Fault("cap_below_advertised", PASSING, pages.cap(flag=True), _ROWS)
    yield Fault("cap_unsaid", PASSING, pages.cap(flag=False), _ROWS)
    yield Fault("duplicate_rows", PROVABLE, pages.rows_changed(pages.doubled), _ROWS)
    yield Fault("rows_replaced", PROVABLE, pages.rows_changed(pages.replaced), _ROWS)
    yield Fault("last_rows_lost", PROVABLE, pages.rows_changed(pages.last_lost), _ROWS)
    yield Fault("rows_dropped", PROVABLE, pages.dropped, _ROWS)
    yield Fault("early_end", PROVABLE, pages.early_end, _ROWS, avoidable=True)
    yield Fault("flag_always", PASSING, pages.flag(always=True), _ROWS)
    yield Fault("flag_never", PASSING, pages.flag(always=False), _ROWS, avoidable=True)
    yield Fault("geometry_poison", PROVABLE, pages.geometry_poison, ("error 500",))
    yield Fault("big_pages_fail", PROVABLE, pages.big_pages_fail, ("error 500", "http 500", "http 504"))


def _layer_faults() -> Iterator[Fault]:
    yield Fault("wrong_count_high", PROVABLE, summaries.counts(summaries.too_high), _ROWS, avoidable=True)
    yield Fault("wrong_count_low", PROVABLE, summaries.counts(summaries.too_low), _ROWS, avoidable=True)
    yield Fault("count_capped", PROVABLE, summaries.counts(summaries.capped), _ROWS, avoidable=True)
    yield Fault(
        "count_ignored", PROVABLE, summaries.summary_ignored("count", "returnCountOnly"), ("count",), avoidable=True
    )
    yield Fault("ids_ignored", PROVABLE, summaries.summary_ignored("ids", "returnIdsOnly"), _IDS)
    yield Fault("ids_capped", PROVABLE, summaries.ids(summaries.first_ids), _IDS)
    yield Fault("ids_stale", PROVABLE, summaries.ids(summaries.stale_ids), _IDS)
    yield Fault("ids_repeated", PROVABLE, summaries.ids(summaries.repeated_ids), _IDS)
    yield Fault("all_capped", PROVABLE, summaries.all_capped, _IDS, avoidable=True)
    yield Fault("blind_by_area", PROVABLE, summaries.empty_by_area, ("by area", *_IDS), avoidable=True)
    yield Fault(
        "area_ignored",
        PROVABLE,
        summaries.parameter_ignored("geometry", where="1=1"),
        ("by area", "ignores the area", *_IDS),
        avoidable=True,
    )
    yield Fault("where_ignored", PROVABLE, summaries.parameter_ignored("where", where="1=1"), _IDS, avoidable=True)
    yield Fault("list_ignored", PROVABLE, summaries.parameter_ignored("objectIds", where="1=1"), _IDS, avoidable=True)
    yield Fault("statistics_wrong", PROVABLE, capabilities.statistics_wrong, ("key", "statistic", *_ROWS))
    yield Fault("statistics_renamed", PASSING, capabilities.statistics_renamed, ("statistic",))
    yield Fault("statistics_refused", PASSING, capabilities.statistics_refused, ("error 400", "statistic"))
    yield Fault("no_paging", PASSING, capabilities.no_paging(admitted=True), ("pagination", "page"))
    yield Fault(
        "paging_refused", PROVABLE, capabilities.no_paging(admitted=False), ("pagination", "page"), avoidable=True
    )
    yield Fault("no_ids", PROVABLE, capabilities.no_ids, ("object id", "error 400"))
    yield Fault("float_ids", PASSING, capabilities.float_ids, _IDS)
    yield Fault("fields_refused", PASSING, capabilities.fields_refused, ("error 400", "field"), avoidable=True)
    yield Fault("bare_nan", PASSING, capabilities.bare_nan, ("nan", "json"))
    yield Fault("renamed_fields", PROVABLE, capabilities.renamed("ZONE", "ZONE_CD"), _COLUMN)
    yield Fault("renamed_key", PROVABLE, capabilities.renamed("PIN", "PARCEL_PIN"), _COLUMN)


def _network_faults() -> Iterator[Fault]:
    yield Fault("slow", PASSING, network.bursts(network.slow), ("timeout",))
    yield Fault("truncated_json", PASSING, network.bursts(network.truncated), ("json",))
    yield Fault("reset", PASSING, network.bursts(network.reset), ("connection", "cut off"))
    for hint, ending in ((True, ""), (False, "_no_hint")):
        yield Fault(
            f"storm_429{ending}", PASSING, network.bursts(network.always(network.too_many(hint=hint))), ("429",)
        )
        asleep = network.bursts(network.always(network.unavailable(hint=hint)))
        yield Fault(f"unavailable_503{ending}", PASSING, asleep, ("503",))
    yield Fault("gateway_504_html", PASSING, network.bursts(network.always(network.gateway_timeout)), ("504",))
    yield Fault("error_200_passing", PASSING, network.bursts(network.always(network.temporary_error)), ("error 50",))
    yield Fault("long_get_refused", PASSING, network.long_get_refused, ("404", "414"), avoidable=True)
    yield Fault(
        "error_200_final", FATAL, network.permanent(network.permanent_error, latest=5), ("error 400", "error 498")
    )
    yield Fault("token_wall", FATAL, network.permanent(network.token_required), _TOKEN)
    yield Fault("token_wall_later", FATAL, network.permanent(network.token_required, latest=5), _TOKEN)
    yield Fault("login_302", FATAL, network.redirect_to_login, ("login", "sign in", *_HTML))
    yield Fault("maintenance_503", FATAL, network.permanent(network.maintenance_503, latest=5), ("503",))
    yield Fault("maintenance_200", FATAL, network.permanent(network.maintenance_200, latest=5), _HTML)


FAULTS: Mapping[str, Fault] = {
    fault.name: fault for part in (_row_faults, _layer_faults, _network_faults) for fault in part()
}

#: Faults that can be consistent with each other, so that no client could detect them together.
_CONSISTENT = ({"wrong_count_low", "rows_dropped"}, {"count_capped", "ids_capped"})
_FATAL_SHARE = 0.2  # of the mixtures; with a fatal fault the other faults have little effect


def mixtures(seed: int, how_many: int) -> list[tuple[str, ...]]:
    """Return `how_many` combinations of two to four faults; the same for the same seed."""
    rng = seeded_random(seed)
    fatal = [name for name, fault in FAULTS.items() if fault.outcome == FATAL]
    others = [name for name in FAULTS if name not in fatal]
    found: list[tuple[str, ...]] = []
    while len(found) < how_many:
        chosen = [rng.choice(fatal)] if rng.random() < _FATAL_SHARE else []
        names = [*rng.sample(others, rng.randint(2, 4) - len(chosen)), *chosen]
        if not any(pair <= set(names) for pair in _CONSISTENT):
            found.append(tuple(names))
    return found


def outcome_of(names: tuple[str, ...]) -> str:
    """The results that a correct client may have with several faults: those of the worst."""
    return max((FAULTS[name].outcome for name in names), key=_OUTCOMES.index, default=PASSING)


def edit_of(name: str) -> tuple[str, bool] | None:
    """The kind of edit that a fault makes, and whether it is stamped; see edits.edited. None: it edits nothing."""
    kind = name.removesuffix(_STAMPED).removesuffix(_BETWEEN)
    return (kind, name.endswith(_STAMPED)) if kind in edits.KINDS else None
