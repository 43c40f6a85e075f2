"""Zoning codes: one spelling for ever, nothing merged that is two, parts taken off only where they are declared."""

import json
import re
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.effort import assert_linear
from tests.support.shared_data import cambridge, need
from zoning_assets import jurisdictions
from zoning_assets.model import ZONE_TYPES, CodeRules
from zoning_assets.sources import FEED_TYPES
from zoning_assets.transform.changes import zoning_codes
from zoning_assets.transform.changes.zoning_codes import Facet


def packaged(jurisdiction: str) -> CodeRules:
    return jurisdictions.load(jurisdiction, Path("absent"), FEED_TYPES).codes


CAMBRIDGE, SAN_JOSE = packaged("us-ma-cambridge"), packaged("us-ca-san-jose")
VINTAGES = ["2013-08-15", "2014-02-06", "2014-09-30", "2016-06-01", "2024-03-05", "2025-02-24"]
SEPARATORS = ["-", " ", "–", "—", " - ", "−", "--"]
#: Every code of a list, once plain and once with each condition.
REAL = [
    (CAMBRIDGE, CAMBRIDGE.listed),
    (SAN_JOSE, (*SAN_JOSE.listed, *(code + each for code in SAN_JOSE.listed for each in SAN_JOSE.conditions))),
]
SHORT = st.text("Rm12 -/()", max_size=7).map(lambda text: re.sub("-+", "-", " ".join(text.split()))).filter(bool)
RULES = st.builds(
    CodeRules,
    listed=st.lists(SHORT, max_size=4, unique=True).map(tuple),
    conditions=st.sampled_from([(), ("(m)",), ("m", "-2")]),
    overlays=st.sampled_from([(), ("R",), ("2", "R-1")]),
    pud=st.sampled_from([(), ("R",)]),
)


def release(jurisdiction: str, date: str) -> set[str]:
    names = {"cambridge": f"zoning_{date}.geojson", "sanjose": f"Zoning_{date}.zip"}
    folder = cambridge() if jurisdiction == "cambridge" else need("sanjose_ca")
    column = {"cambridge": "ZONE_TYPE", "sanjose": "ZONING"}[jurisdiction]
    return set(gpd.read_file(folder / names[jurisdiction], ignore_geometry=True)[column].dropna())


@st.composite
def respelled(draw: st.DrawFn, code: str) -> str:
    """As another cartographer would write it: other dashes, spaces, case; none only between a letter and a digit."""
    cased = "".join(draw(st.sampled_from([char.upper(), char.lower()])) for char in code)
    loose = re.sub("(?<=[A-Za-z])-?(?=[0-9])", lambda _: draw(st.sampled_from(["", *SEPARATORS])), cased)
    others = re.sub(
        "(?<=[0-9A-Za-z])-(?=[A-Za-z])|(?<=[0-9])-(?=[0-9])", lambda _: draw(st.sampled_from(SEPARATORS)), loose
    )
    return re.sub("(?=[(])|(?<=[(])", lambda _: draw(st.sampled_from(["", " "])), others)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("R-1", "R 1"),
        ("R-1", "r1"),
        ("R–1", "R−1"),
        ("Ｒ－１", "R1"),
        ("MS-C", "ms c"),
        ("A(PD)", "A (pd)"),
        ("M1-1", "M1 – 1"),
        ("R-1-8", "R1 8"),
        ("R\u200b-1\xa0", "R1"),
        ("M1-4/R6A", "m1-4 / r-6a"),
    ],
)
def test_spellings_of_one_code_fold_alike(one, other):
    """Case, the kind of dash, and a separator between a letter and the digit after it are spelling."""
    assert zoning_codes.fold(one) == zoning_codes.fold(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("M1-1", "M11"),
        ("R-1-8", "R-18"),
        ("C-1A", "C-1-A"),
        ("MS-C", "MSC"),
        ("A", "A-1"),
        ("SD-10(F)", "SD-10"),
        ("R-1²", "R-12"),
        ("R-1", "R-1+"),
        ("C2-1VL", "C2-1-VL"),
    ],
)
def test_different_codes_do_not(one, other):
    """Every other separator may carry meaning."""
    assert zoning_codes.fold(one) != zoning_codes.fold(other)


@given(st.text(max_size=40))
def test_a_key_is_its_own_key(text):
    """Folding twice is folding once."""
    assert zoning_codes.fold(zoning_codes.fold(text)) == zoning_codes.fold(text)


@given(st.lists(SHORT, max_size=8), RULES, st.randoms())
def test_spelling_is_stable_and_free_of_order(seen, rules, rng):
    """Canonical of canonical is itself, alone or with what is known; the order of rows says nothing."""
    spelled = zoning_codes.spell(seen, rules, {})
    assert set(spelled) == set(seen)
    assert all(zoning_codes.spell([code], rules, spelled)[code] == code for code in spelled.values())
    assert zoning_codes.spell(spelled.values(), rules, {}) == {code: code for code in spelled.values()}
    assert zoning_codes.spell(seen, rules, spelled) == spelled
    shuffled = rng.sample(seen, len(seen))
    assert zoning_codes.spell(shuffled * 2, rules, {}) == spelled


@given(RULES, st.lists(SHORT, max_size=4))
def test_two_listed_codes_are_never_one(rules, seen):
    """The list is proof: each of its codes is spelled as it stands there, whatever is seen beside it."""
    spelled = zoning_codes.spell([*rules.listed, *seen], rules, {})
    assert all(spelled[code] == code for code in rules.listed)


@given(RULES, st.lists(SHORT, max_size=4))
def test_m1_1_is_never_m11(rules, seen):
    """Whatever the rules and the neighbours, the number of a district is read as it is written."""
    spelled = zoning_codes.spell(["M1-1", "M11", "M 1-1", *seen], rules, {})
    assert spelled["M1-1"] != spelled["M11"]
    assert spelled["M1-1"] == spelled["M 1-1"]


@given(st.data(), st.sampled_from(REAL))
def test_respelling_any_part_of_a_real_list_changes_nothing(data, real):
    """Half of the codes respelled is noise: by the list, and by what an earlier release was given without a list."""
    rules, listed = real
    chosen = data.draw(st.lists(st.sampled_from(listed), max_size=12, unique=True))
    theirs = {data.draw(respelled(code)): code for code in chosen}
    seen = [*theirs, *(code for code in listed if code not in chosen or data.draw(st.booleans()))]
    for each, known in (
        (rules, {}),
        (replace(rules, listed=()), zoning_codes.spell(listed, replace(rules, listed=()), {})),
    ):
        spelled = zoning_codes.spell(seen, each, known)
        assert {local: spelled[local] for local in theirs} == theirs


@pytest.mark.parametrize("date", VINTAGES)
def test_cambridge_is_spelled_as_it_is(date):
    """Every code of every vintage is one of the list, verbatim, whole, and has a type; no two are alike."""
    seen = release("cambridge", date)
    assert (
        zoning_codes.spell(seen, CAMBRIDGE, {})
        == zoning_codes.spell(seen, CodeRules(), {})
        == {code: code for code in seen}
    )
    assert seen <= set(CAMBRIDGE.listed)
    assert all(zoning_codes.facets(code, CAMBRIDGE) == (Facet("base", code),) for code in seen)
    assert {zoning_codes.zone_type(code, CAMBRIDGE) for code in seen} == set(ZONE_TYPES[:3])
    assert len({zoning_codes.fold(code) for code in seen}) == len(seen)


@pytest.mark.parametrize("date", ["2014-07-23", "2014-10-23"])
def test_san_jose_has_conditions(date):
    """Every base is of the list and has a type; what stands in brackets is a condition of it."""
    seen = release("sanjose", date)
    assert zoning_codes.spell(seen, SAN_JOSE, {}) == {code: code for code in seen}
    assert all(zoning_codes.zone_type(zoning_codes.facets(code, SAN_JOSE)[0].code, SAN_JOSE) for code in seen)
    assert {part.code for code in seen for part in zoning_codes.facets(code, SAN_JOSE)[1:]} == {"PD", "CL"}


def test_no_real_list_has_two_codes_alike():
    """The grammar refuses nothing that is real: Municode's list of Cambridge and the districts of Forest City."""
    municode = (cambridge() / "ZoneListFromMunicode.csv").read_text(encoding="utf-8-sig").splitlines()[1:]
    districts = json.loads((need("forestcity_nc") / "zoning_epsg2264.geojson").read_text())["features"]
    listed = tuple({line.split(",")[0] for line in municode} - {""})
    forest = tuple({each["properties"]["BASE_DISTR"] for each in districts} - {None})
    assert set(listed) <= set(CAMBRIDGE.listed)
    for real in (listed, forest):
        assert zoning_codes.collisions(real, CodeRules(listed=real), {}) == ()
        assert zoning_codes.spell(real, CodeRules(), {}) == {code: code for code in real}


def test_what_is_only_seen_together_is_one_code():
    """Districts of one code spelled in two ways within one release: noise, as no list says that they are two."""
    assert zoning_codes.spell(["R1A", "R-1A", "r 1a"], CodeRules(), {}) == dict.fromkeys(
        ["R1A", "R-1A", "r 1a"], "R-1A"
    )
    assert zoning_codes.collisions(["R1A", "R-1A"], CodeRules(), {}) == ()


def test_what_the_list_tells_apart_is_not_folded():
    """Both stay; a third spelling means neither for certain, stays too, and the collision is told."""
    rules = CodeRules(listed=("R-1A", "R1A", "B-2"))
    seen = ["R-1A", "R1A", "R 1A", "B2"]
    assert zoning_codes.spell(seen, rules, {}) == {"R-1A": "R-1A", "R1A": "R1A", "R 1A": "R 1A", "B2": "B-2"}
    assert zoning_codes.collisions(seen, rules, {}) == (("R 1A", "R-1A", "R1A"),)
    assert zoning_codes.collisions(["B2"], rules, {}) == ()


def test_what_was_two_stays_two():
    """Two canonical codes of an earlier release are not merged because the list was lost since."""
    known = {"R-1A": "R-1A", "R1A": "R1A"}
    assert zoning_codes.spell(["R1A", "R-1A", "r1a"], CodeRules(), known) == {**known, "r1a": "r1a"}
    assert zoning_codes.collisions(["r1a"], CodeRules(), known) == (("R-1A", "R1A", "r1a"),)


def test_what_is_known_stays_though_a_release_respells_it_whole():
    """The first spelling is for ever; a list or a rename of the jurisdiction's own may still say better."""
    known = zoning_codes.spell(["R1", "R2(PD)"], CodeRules(conditions=("(PD)",)), {})
    rules = CodeRules(conditions=("(PD)",))
    assert zoning_codes.spell(["R-1", "R-2 (PD)", "R-2"], rules, known) == {
        "R-1": "R1",
        "R-2 (PD)": "R2(PD)",
        "R-2": "R2",
    }
    assert zoning_codes.spell(["R 1"], CodeRules(listed=("R-1",)), known) == {"R 1": "R-1"}
    assert zoning_codes.spell(["R 1"], CodeRules(listed=("R-1",), same={"R-1": "RS-1"}), known) == {"R 1": "RS-1"}


def test_a_rename_is_found_in_any_spelling_and_beneath_a_condition():
    """What the grammar cannot know is said once; taking it back is taking it back."""
    rules = CodeRules(listed=("C-1",), same={"Residence C-1": "C-1"}, conditions=("(PD)",))
    seen = ["RESIDENCE C 1", "Residence C-1 (pd)", "c1"]
    spelled = zoning_codes.spell(seen, rules, {})
    assert spelled == {"RESIDENCE C 1": "C-1", "Residence C-1 (pd)": "C-1(PD)", "c1": "C-1"}
    assert zoning_codes.spell(["Residence C-1"], CodeRules(), {"Residence C-1": "C-1"}) == {
        "Residence C-1": "Residence C-1"
    }


def test_a_renames_target_is_not_renamed_again():
    """What the rules give as canonical is taken as it stands, though its end looks like a part and its rest renamed."""
    rules = CodeRules(conditions=("-2",), same={"R-1": "R-2", "R": "S"})
    assert zoning_codes.spell(["R1", "R-2", "R"], rules, {}) == {"R1": "R-2", "R-2": "R-2", "R": "S"}


DECLARED = CodeRules(
    listed=("R-1", "MS-C", "SD-10(F)", "PD", "R-5"),
    conditions=("(PD)", "(CL)", "CD", "C"),
    overlays=("HP", "C", "FP-2"),
    pud=("PD", "PUD"),
)


@pytest.mark.parametrize(
    ("local", "canonical", "parts"),
    [
        ("R1(pd)", "R-1(PD)", "base R-1, condition PD"),
        ("A(PD)(CL)(PD)", "A(PD)(CL)(PD)", "base A, condition PD, condition CL"),
        ("SD-10(F)", "SD-10(F)", "base SD-10(F)"),
        ("SD-10(H)", "SD-10(H)", "base SD-10(H)"),
        ("R-5C", "R-5C", "base R-5, condition C"),
        ("r 5-cd", "R-5-CD", "base R-5, condition CD"),
        ("ACD", "ACD", "base ACD"),
        ("R-1/HP", "R-1/HP", "base R-1, overlay HP"),
        ("R-1-hp/FP 2 (CL)", "R-1-HP/FP-2(CL)", "base R-1, overlay HP, overlay FP-2, condition CL"),
        ("R1HP", "R1HP", "base R1HP"),
        ("ms c", "MS-C", "base MS-C"),
        ("HP", "HP", "base HP"),
        ("C", "C", "base C"),
        ("M1-4/R6A", "M1-4/R6A", "base M1-4/R6A"),
        ("PD-1234 (O2017-4840)", "PD-1234", "base PD, pud PD-1234"),
        ("pd #1234(CL)", "PD-1234(CL)", "base PD, pud PD-1234, condition CL"),
        ("PUD 12a", "PUD-12A", "base PUD, pud PUD-12A"),
        ("PDX", "PDX", "base PDX"),
        ("PD", "PD", "base PD"),
        ("R-1 (O2017-4840)", "R-1 (O2017-4840)", "base R-1 (O2017-4840)"),
    ],
)
def test_parts_come_off_where_they_are_declared(local, canonical, parts):
    """What is not declared stays whole, and so does a listed code whose rest is none."""
    assert zoning_codes.spell([local], DECLARED, {}) == {local: canonical}
    assert ", ".join(f"{each.facet} {each.code}" for each in zoning_codes.facets(canonical, DECLARED)) == parts


@pytest.mark.parametrize(
    ("code", "ordinance"),
    [
        ("PD-1234 (O2017-4840)", "O2017-4840"),
        ("R-1 (Ord. No. 88)", "Ord. No. 88"),
        ("B (2017-33)", "2017-33"),
        ("R-1(5000)", None),
        ("SD-10(F)", None),
        ("A(PD)", None),
        ("ORD 5)", None),
        ("(ORD)", None),
        ("", None),
    ],
)
def test_an_ordinance_in_brackets_is_evidence(code, ordinance):
    """A lot's size or a condition is not one."""
    assert zoning_codes.ordinance_in(code) == ordinance


def test_an_unknown_type_is_none():
    """A respelled code has the type of the table's; where two rows of it are alike and differ, neither is taken."""
    rules = CodeRules(types={"R-1": ZONE_TYPES[0], "B-2": ZONE_TYPES[1], "B2": ZONE_TYPES[2]})
    assert zoning_codes.zone_type("r1", rules) == ZONE_TYPES[0]
    assert [zoning_codes.zone_type(code, rules) for code in ("B-2", "B2", "B 2", "X")] == [*ZONE_TYPES[1:3], None, None]


def test_any_rule_changes_the_version():
    """And the order in which a file says them does not."""
    rules = CodeRules("1", ("A", "B"), ("(PD)",), ("HP",), ("PD",), {"X": "A"}, {"A": ZONE_TYPES[0]})
    others = [replace(rules, version="2"), replace(rules, same={"X": "B"}), replace(rules, types={"A": ZONE_TYPES[1]})]
    others += [replace(rules, **{name: ("Z",)}) for name in ("listed", "conditions", "overlays", "pud")]
    assert len({zoning_codes.version(each) for each in [rules, *others]}) == 8
    assert zoning_codes.version(replace(rules, listed=("B", "A"))) == zoning_codes.version(rules)


HOSTILE = [
    "",
    " ",
    "-",
    "–",
    "None",
    "nan",
    "<Null>",
    "N/A",
    "\x00",
    "\ud800",
    "\u200b",
    "🏠",
    "R🏠1",
    "()",
    "(PD)",
    "/HP",
]
#: What a long text begins with, and what it then repeats.
LONG = [("", "A"), ("A", "(PD)"), ("", "- "), ("(ORD ", "1"), ("", "1- "), ("A", "/HP")]


@given(st.text(max_size=60))
def test_any_text_is_a_code(text):
    """Nothing raises; a code always has one base, first, and is never spelled away."""
    _survives(text)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_texts_are_codes(text):
    """Neither does one of these."""
    _survives(text)


@pytest.mark.parametrize(("begin", "repeated"), LONG)
def test_long_texts_are_codes(begin, repeated):
    """Nor does a long one, and it takes what its length takes."""
    assert_linear(lambda size: _survives(begin + repeated * (size // len(repeated))), 20_000)
    _survives("A" + "/HP" * 66)


def _survives(text: str) -> None:
    canonical = zoning_codes.spell([text], DECLARED, {})[text]
    assert bool(canonical) == bool(text)
    found = zoning_codes.facets(canonical, DECLARED)
    assert [each.facet == "base" for each in found] == [True] + [False] * (len(found) - 1)
    assert bool(found[0].code) == bool(text)
    assert zoning_codes.spell([canonical], DECLARED, {text: canonical}) == {canonical: canonical}
    zoning_codes.ordinance_in(text)
    zoning_codes.zone_type(text, DECLARED)
    zoning_codes.collisions([text], DECLARED, {text: canonical})


LAYERS = CodeRules(listed=("R-1", "AE"), overlays=("HP",), layers={"flood": " / ", "parkway": ""})


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("overlay flood: AE / X-1", [("overlay", "overlay flood: AE"), ("overlay", "overlay flood: X-1")]),
        ("overlay flood: AE / AE", [("overlay", "overlay flood: AE")]),
        ("overlay flood: AE/X", [("overlay", "overlay flood: AE/X")]),
        ("overlay flood: / ", [("overlay", "overlay flood: /")]),
        ("overlay parkway: A / B-HP", [("overlay", "overlay parkway: A / B-HP")]),
        ("overlay parkway", [("overlay", "overlay parkway")]),
        ("overlay gone: A / B", [("overlay", "overlay gone: A / B")]),
        ("R-1/HP", [("base", "R-1"), ("overlay", "HP")]),
        ("Overlay district", [("base", "Overlay district")]),
    ],
)
def test_codes_of_overlay_layers(code: str, says: list[tuple[str, str]]) -> None:
    """Each overlay of a code is a facet, and none is base zoning, also if the layer is no longer in the file."""
    spelled = zoning_codes.spell([code], LAYERS, {})[code]
    assert [(each.facet, each.code) for each in zoning_codes.facets(spelled, LAYERS)] == says


def test_a_hostile_code_of_a_layer_stays_in_the_layer() -> None:
    """A line feed does not make it a code of the map, and a long text is not a list of overlays."""
    assert zoning_codes.layer_of("overlay flood: AE\nX") == "flood"
    long = "overlay flood: " + " / ".join(map(str, range(1000)))
    assert len(zoning_codes.facets(long, LAYERS)) == 1


def test_codes_of_layers_and_of_the_map_do_not_mix() -> None:
    """The spelling of one is not taken for the other."""
    seen = ["ae", "overlay flood: ae", "overlay flood: AE", "AE"]
    spelled = zoning_codes.spell(seen, LAYERS, {})
    assert spelled == {
        "ae": "AE",
        "AE": "AE",
        "overlay flood: ae": "overlay flood: ae",
        "overlay flood: AE": "overlay flood: AE",
    }
    assert zoning_codes.collisions(seen, LAYERS, spelled) == ()


def test_rules_without_layers_have_their_former_version() -> None:
    """The shares of jurisdictions without overlay layers are not computed again."""
    assert zoning_codes.version(CodeRules()) == "6595beb8acc2a3a4"
    assert zoning_codes.version(CodeRules(layers={"flood": ""})) != zoning_codes.version(CodeRules())
