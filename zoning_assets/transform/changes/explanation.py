"""Describe a change of the feed in sentences: what happened, when, how sure, and from which numbers."""

from typing import Any


def lines(change: dict[str, Any]) -> list[str]:
    """Describe a change in lines of text: kind, place, confidence, evidence."""
    evidence = change["evidence"]
    ids = ", ".join(change["parcel_ids"][:10]) or "no single parcel"
    found = [
        f"{change['id']}  {change['kind']} ({change['state']}), {change['jurisdiction']}: {ids}",
        f"from {change['old'] or 'nothing'} to {change['new'] or 'nothing'}; confidence {change['confidence']}",
    ]
    found.append(_dates(change))
    if change["area_m2"] is not None:
        found.append(
            f"{change['area_m2']:,.1f} m2" + (f", {change['share']:.1%} of the parcel" if change["share"] else "")
        )
    if "tolerance_m" in evidence:
        drift_m, tolerance_m = evidence["drift_m"], evidence["tolerance_m"]
        found.append(f"the release drifted by {drift_m} m; areas thinner than {tolerance_m} m are ignored")
    found += [_part(part) for part in evidence.get("parts", [])[:10]]
    if evidence.get("parents") or evidence.get("children"):
        overlap_m2, score = evidence["overlap_m2"], evidence["score"]
        found.append(f"parents share {overlap_m2:,.1f} m2 with children (smallest share {score:.2f})")
    names = (
        "parcel_layer_says",
        "reused",
        "holders",
        "undoes",
        "spelled_before",
        "spelled_now",
        "moved_share",
        "source",
    )
    found += [f"{name.replace('_', ' ')}: {evidence[name]}" for name in names if evidence.get(name)]
    found += [_ordinance(each) for each in change["amendments"] or []] or ["ordinance: none is known"]
    maps = ", ".join(evidence.get("maps", [])) or "-"
    return [*found, f"batches compared: {_compared(evidence['batches'])}", f"rules: {evidence['rules']}; maps: {maps}"]


def _compared(batches: dict[str, Any]) -> str:
    """The batches of both states: "parcels 6 with 14, zoning 7 with 15"."""
    sides = ((feed, batches.get(f"{feed}_from"), batches.get(f"{feed}_to")) for feed in ("parcels", "zoning"))
    pairs = [f"{feed} {before} with {after}" if before else f"{feed} {after}" for feed, before, after in sides if after]
    return ", ".join(pairs) or "none"


def _dates(change: dict[str, Any]) -> str:
    noticed = change["detected"].isoformat(timespec="seconds")
    legal = f"legal from {change['effective']}" if change["effective"] else "no legal date is stated"
    return f"noticed at {noticed} (when this database first saw it); {legal}"


def _ordinance(amendment: dict[str, Any]) -> str:
    numbers = ", ".join([*amendment["ordinance_numbers"], *amendment["case_numbers"]]) or amendment["amendment"]
    return (
        f"ordinance: {numbers} ({amendment['status']}), score {amendment['score']}: {', '.join(amendment['reasons'])}"
    )


def _part(part: dict[str, Any]) -> str:
    area = f"{part['area_m2']:,.1f} m2, {part['share']:.1%} of {part['parcel_id']}, about {part['width_m']} m wide"
    return f"  {part['old']} -> {part['new']}: {area}"
