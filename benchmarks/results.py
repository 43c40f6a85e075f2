"""The result of a run of `zoning bench all`: medians and spreads beside targets, as a document and as Markdown."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.figures import Figure
from benchmarks.measurements import FULL, MEASUREMENTS
from benchmarks.run_journal import Round, Run
from benchmarks.targets import target_of

_HEADS = ("figure", "median", "lowest to highest", "unit", "target", "met", "source of the target")
_QUICK = "The scale is `quick`: sizes are smaller than those that the targets are for."
_LOADED = "measured on a busy machine"


def document(run: Run) -> dict[str, Any]:
    """The result as one JSON document.

    Returns:
        `began`, `scale`, `machine`, `versions`, `load_start`, `load_end`, `commits`, `targets` (met, not_met), and
        `measurements`: name, about, command, rounds, seconds (of all rounds), load_before (highest), is_loaded, errors
        and `figures`: figure, unit, median, lowest, highest, target, source, met (None: no target).
    """
    names = [name for name in MEASUREMENTS if run.of(name)]
    found = [_measurement(name, run.of(name), int(run.about["machine"]["cores"])) for name in names]
    met = [each["met"] for measurement in found for each in measurement["figures"] if each["met"] is not None]
    return {
        **run.about,
        "load_end": run.rounds[-1].load_after if run.rounds else run.about["load_start"],
        "commits": list(dict.fromkeys(each.commit for each in run.rounds)),
        "targets": {"met": sum(met), "not_met": len(met) - sum(met)},
        "measurements": found,
    }


def _measurement(name: str, rounds: Sequence[Round], cores: int) -> dict[str, Any]:
    done = [each for each in rounds if each.is_done]
    return {
        "name": name,
        "about": MEASUREMENTS[name].about,
        "command": rounds[-1].command,
        "rounds": len(done),
        "seconds": round(sum(each.seconds for each in rounds), 1),
        "load_before": max(each.load_before for each in rounds),
        "is_loaded": any(each.load_before > cores for each in rounds),
        "errors": list(dict.fromkeys(each.error for each in rounds if each.error)),
        "figures": list(_figures(name, [list(MEASUREMENTS[name].figures(each.document)) for each in done])),
    }


def _figures(name: str, rounds: Sequence[Sequence[Figure]]) -> Iterator[dict[str, Any]]:
    """The figures of a measurement over its rounds, in the order of the first round that has them."""
    values: dict[tuple[str, str], list[float]] = {}
    for figures in rounds:
        for each in figures:
            values.setdefault((each.name, each.unit), []).append(each.value)
    for (figure, unit), found in values.items():
        median, target = statistics.median(found), target_of(name, figure)
        yield {
            "figure": figure,
            "unit": unit,
            "median": _rounded(median),
            "lowest": _rounded(min(found)),
            "highest": _rounded(max(found)),
            "target": target.text if target else None,
            "source": target.source if target else None,
            "met": target.is_met(median) if target else None,
        }


def _rounded(value: float) -> float:
    """Four digits, and all of those before the point."""
    return round(value) if abs(value) >= 1000 else float(f"{value:.4g}")


def markdown(found: Mapping[str, Any]) -> str:
    """The result as a page."""
    parts = [
        "# Results\n",
        "<!-- Written by `zoning bench all --write`. -->\n",
        f"{_head(found)}\n",
        f"{_facts(found)}\n",
        *_not_met(found),
        *(f"{_section(each)}\n" for each in found["measurements"]),
    ]
    left_out = found.get("left_out") or {}
    parts += [f"Not measured: {name}, because {why}.\n" for name, why in left_out.items()]
    return "\n".join(parts)


def _head(found: Mapping[str, Any]) -> str:
    targets, quick = found["targets"], "" if found["scale"] == FULL else f"\n\n{_QUICK}"
    return (
        f"{targets['met']} of {targets['met'] + targets['not_met']} figures with a target meet it. Each figure is the\n"
        "median of its rounds, with the lowest and the highest one. [Benchmarks](index.md) describes the\n"
        f"measurements, and how to repeat them. [results.json](results.json) has the same figures.{quick}"
    )


def _facts(found: Mapping[str, Any]) -> str:
    facts = {
        "measured": found["began"],
        "scale": found["scale"],
        "commit": "; ".join(found["commits"]),
        "load": f"{found['load_start']} at the start, {found['load_end']} at the end",
        **found["machine"],
        **found["versions"],
    }
    return _table(("machine and versions", ""), [[name, str(value)] for name, value in facts.items()])


def _not_met(found: Mapping[str, Any]) -> Iterator[str]:
    """The targets that are not met, as a list."""
    missed = [
        f"- {each['name']}: {figure['figure']}: {_number(figure['median'])} {figure['unit']}".rstrip()
        + f" (target: {figure['target']})"
        for each in found["measurements"]
        for figure in each["figures"]
        if figure["met"] is False
    ]
    if missed:
        yield "\n".join(["Not met:\n", *missed, ""])


def _section(each: Mapping[str, Any]) -> str:
    lines = [f"## {each['name']}\n", f"{each['about'].capitalize()}: `{each['command']}`.", _rounds(each)]
    lines += [f"\nError: {_cell(error)}" for error in each["errors"]]
    if each["figures"]:
        lines += ["", _table(_HEADS, [_row(figure) for figure in each["figures"]])]
    return "\n".join(lines)


def _rounds(each: Mapping[str, Any]) -> str:
    plural = "" if each["rounds"] == 1 else "s"
    text = f"{each['rounds']} round{plural}, {each['seconds']:,.0f} s. Load before: {each['load_before']:g}"
    return text + (f": **{_LOADED}**." if each["is_loaded"] else ".")


def _row(figure: Mapping[str, Any]) -> list[str]:
    met = {True: "yes", False: "**no**", None: ""}[figure["met"]]
    lowest, highest = _number(figure["lowest"]), _number(figure["highest"])
    spread = "" if lowest == highest else f"{lowest} to {highest}"
    target, source = figure["target"] or "", figure["source"] or ""
    return [figure["figure"], _number(figure["median"]), spread, figure["unit"], target, met, source]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([_cell(each) for each in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """A text in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
