"""The faults by name, from those nearest to the rows to those nearest to the line; they are combined in this order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from zoning_assets.simulation.chaos import answers, edits, lists, network, pages
from zoning_assets.simulation.chaos.said import Make, randomness

#: What a correct client makes of a fault: all true rows; all true rows or a refusal; a refusal.
PASSING, PROVABLE, FATAL = "passing", "provable", "fatal"
_OUTCOMES = (PASSING, PROVABLE, FATAL)


@dataclass(frozen=True)
class Fault:
    """A way in which a portal is wrong.

    `words`: a refusal must hold one of them, in any case. `avoidable`: a careful client may never meet it.
    """

    name: str
    outcome: str
    make: Make
    words: tuple[str, ...] = ()
    avoidable: bool = False


_BETWEEN, _STAMPED = "_between_pages", "_stamped"
_ROWS = ("came twice", "came again", "received", "the portal says", "the server lists", "the server returns", "count")
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


def _near_the_rows() -> Iterator[Fault]:
    yield from _edits()
    yield Fault("unordered_pages", PASSING, pages.unordered(orders=True), _ROWS, avoidable=True)
    yield Fault("order_ignored", PROVABLE, pages.unordered(orders=False), _ROWS, avoidable=True)
    yield Fault("offset_ignored", PROVABLE, pages.offset_ignored, _ROWS, avoidable=True)
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


def _in_what_is_said() -> Iterator[Fault]:
    yield Fault("wrong_count_high", PROVABLE, lists.counts(lists.high), _ROWS, avoidable=True)
    yield Fault("wrong_count_low", PROVABLE, lists.counts(lists.low), _ROWS, avoidable=True)
    yield Fault("count_capped", PROVABLE, lists.counts(lists.capped), _ROWS, avoidable=True)
    yield Fault("count_ignored", PROVABLE, lists.ignored("count", "returnCountOnly"), ("count",), avoidable=True)
    yield Fault("ids_ignored", PROVABLE, lists.ignored("ids", "returnIdsOnly"), _IDS)
    yield Fault("ids_capped", PROVABLE, lists.ids(lists.first_ids), _IDS)
    yield Fault("ids_stale", PROVABLE, lists.ids(lists.stale_ids), _IDS)
    yield Fault("ids_repeated", PROVABLE, lists.ids(lists.repeated_ids), _IDS)
    yield Fault("all_capped", PROVABLE, lists.all_capped, _IDS, avoidable=True)
    yield Fault("blind_by_area", PROVABLE, lists.blind, ("by area", *_IDS), avoidable=True)
    yield Fault(
        "area_ignored",
        PROVABLE,
        lists.deaf("geometry", where="1=1"),
        ("by area", "ignores the area", *_IDS),
        avoidable=True,
    )
    yield Fault("where_ignored", PROVABLE, lists.deaf("where", where="1=1"), _IDS, avoidable=True)
    yield Fault("list_ignored", PROVABLE, lists.deaf("objectIds", where="1=1"), _IDS, avoidable=True)
    yield Fault("statistics_wrong", PROVABLE, answers.statistics_wrong, ("key", "statistic", *_ROWS))
    yield Fault("statistics_renamed", PASSING, answers.statistics_renamed, ("statistic",))
    yield Fault("statistics_refused", PASSING, answers.statistics_refused, ("error 400", "statistic"))
    yield Fault("no_paging", PASSING, answers.no_paging(admitted=True), ("pagination", "page"))
    yield Fault("paging_refused", PROVABLE, answers.no_paging(admitted=False), ("pagination", "page"), avoidable=True)
    yield Fault("no_ids", PROVABLE, answers.no_ids, ("object id", "error 400"))
    yield Fault("float_ids", PASSING, answers.float_ids, _IDS)
    yield Fault("fields_refused", PASSING, answers.fields_refused, ("error 400", "field"), avoidable=True)
    yield Fault("bare_nan", PASSING, answers.bare_nan, ("nan", "json"))
    yield Fault("renamed_fields", PROVABLE, answers.renamed("ZONE", "ZONE_CD"), _COLUMN)
    yield Fault("renamed_key", PROVABLE, answers.renamed("PIN", "PARCEL_PIN"), _COLUMN)


def _on_the_line() -> Iterator[Fault]:
    yield Fault("slow", PASSING, network.storms(network.slow), ("timeout",))
    yield Fault("truncated_json", PASSING, network.storms(network.truncated), ("json",))
    yield Fault("reset", PASSING, network.storms(network.reset), ("connection", "disconnected", "payload"))
    for hint, ending in ((True, ""), (False, "_no_hint")):
        yield Fault(f"storm_429{ending}", PASSING, network.storms(network.says(network.too_many(hint=hint))), ("429",))
        asleep = network.storms(network.says(network.unavailable(hint=hint)))
        yield Fault(f"unavailable_503{ending}", PASSING, asleep, ("503",))
    yield Fault("gateway_504_html", PASSING, network.storms(network.says(network.gateway)), ("504",))
    yield Fault("error_200_passing", PASSING, network.storms(network.says(network.ill)), ("error 50",))
    yield Fault("long_get_refused", PASSING, network.long_get_refused, ("404", "414"), avoidable=True)
    yield Fault("error_200_final", FATAL, network.wall(network.final, latest=5), ("error 400", "error 498"))
    yield Fault("token_wall", FATAL, network.wall(network.token), _TOKEN)
    yield Fault("token_wall_later", FATAL, network.wall(network.token, latest=5), _TOKEN)
    yield Fault("login_302", FATAL, network.to_login, ("login", "sign in", *_HTML))
    yield Fault("maintenance_503", FATAL, network.wall(network.maintenance_503, latest=5), ("503",))
    yield Fault("maintenance_200", FATAL, network.wall(network.maintenance_200, latest=5), _HTML)


FAULTS: Mapping[str, Fault] = {
    fault.name: fault for part in (_near_the_rows, _in_what_is_said, _on_the_line) for fault in part()
}

#: Lies that can agree with each other, so that nobody could tell them from the truth.
_AGREEING = ({"wrong_count_low", "rows_dropped"}, {"count_capped", "ids_capped"})
_WALLS = 0.2  # of the mixtures; behind a wall the other faults are not seen for long


def mixtures(seed: int, how_many: int) -> list[tuple[str, ...]]:
    """Combinations of two to four faults; the same for the same seed."""
    rng = randomness(seed)
    fatal = [name for name, fault in FAULTS.items() if fault.outcome == FATAL]
    others = [name for name in FAULTS if name not in fatal]
    found: list[tuple[str, ...]] = []
    while len(found) < how_many:
        wall = [rng.choice(fatal)] if rng.random() < _WALLS else []
        names = [*rng.sample(others, rng.randint(2, 4) - len(wall)), *wall]
        if not any(pair <= set(names) for pair in _AGREEING):
            found.append(tuple(names))
    return found


def outcome_of(names: tuple[str, ...]) -> str:
    """What a correct client makes of several faults at once: of the gravest."""
    return max((FAULTS[name].outcome for name in names), key=_OUTCOMES.index, default=PASSING)


def edit_of(name: str) -> tuple[str, bool] | None:
    """Which edit a fault makes, and whether the layer tells of it; see edits.edited. None where it makes none."""
    kind = name.removesuffix(_STAMPED).removesuffix(_BETWEEN)
    return (kind, name.endswith(_STAMPED)) if kind in edits.KINDS else None
