// The page of one parcel: its zoning, its timeline, and the parcels that it came from or became.

import { get, segment } from "./api.js";
import { parcelLinks } from "./change_panel.js";
import { area, element, facts, percent, swatch, timeElement, title } from "./dom.js";
import { isOfParcels, kindLabel } from "./kinds.js";

export async function showParcel(state, app, signal) {
  const life = await get(`parcels/${segment(state.jurisdiction)}/${segment(state.parcel)}`, {}, signal);
  const rows = life.parcel ?? [];
  const now = rows.at(-1) ?? {};
  const isFormer = life.is_current === false;
  return {
    name: `Parcel ${state.parcel}`,
    geometry: life.geometry,
    nodes: [
      element("p", { class: "back" }, element("a", { href: app.href({ parcel: null }) }, "All changes")),
      element(
        "article",
        { class: "details" },
        title(state.parcel),
        now.address && element("p", { class: "address" }, now.address),
        isFormer && element("p", { class: "warn" }, "This parcel does not exist any more."),
        facts([
          ["Zoning now", isFormer ? null : zoning(life.zoning_now ?? [], app)],
          ["Code in the parcel layer", now.zoning_code_local ?? now.zoning_code],
          ["Area", now.area_m2 ? area(now.area_m2) : null],
          ["Land use", now.land_use],
          ["Jurisdiction", app.nameOf(state.jurisdiction)],
        ]),
        family(life, state, app),
        element("h3", {}, "Timeline"),
        element("ol", { class: "timeline" }, timeline(life, app)),
      ),
    ],
  };
}

function zoning(shares, app) {
  if (shares.length === 0) return "none is known";
  return element(
    "ul",
    { class: "plain" },
    shares.map((each) => element("li", {}, shareElement(each, app))),
  );
}

function shareElement({ facet, code, fraction }, app) {
  const isBase = facet === "base" || !facet;
  const share = typeof fraction === "number" ? ` ${percent(Math.min(fraction, 1))}` : "";
  return element(
    "span",
    { class: "code" },
    isBase ? swatch(app.colorOf(code)) : `${facet}: `,
    element("b", {}, code),
    share,
  );
}

/** The parcels that this one came from, and those that it became. */
function family(life, state, app) {
  const steps = life.lineage ?? [];
  const known = (side, other) =>
    new Set(steps.filter((each) => each[other].includes(state.parcel)).flatMap((each) => each[side]));
  const others = (ids) => [...ids].filter((id) => id !== state.parcel);
  const parents = others(known("parents", "children"));
  const children = others(known("children", "parents"));
  if (!parents.length && !children.length) return null;
  const links = (list) => (list.length ? element("span", {}, parcelLinks(state.jurisdiction, list, app)) : null);
  return element(
    "section",
    {},
    element("h3", {}, "Lineage"),
    facts([
      ["Came from", links(parents)],
      ["Became", links(children)],
    ]),
  );
}

/** What happened, newest first: changes, versions of its zoning, versions of its row. */
function timeline(life, app) {
  const events = [
    ...(life.changes ?? []).map((each) => [each.detected, 0, changeEvent(each, app)]),
    ...byTime(life.zoning ?? []).map(([at, shares]) => [at, 1, zoningEvent(shares, app)]),
    ...(life.parcel ?? []).map((row, index) => [row.system_from, 2, rowEvent(row, index)]),
  ];
  events.sort((a, b) => Date.parse(b[0]) - Date.parse(a[0]) || a[1] - b[1]);
  return events.map(([at, , nodes]) => element("li", {}, element("p", { class: "note" }, timeElement(at)), nodes));
}

function byTime(versions) {
  const found = new Map();
  for (const each of versions) found.set(each.system_from, [...(found.get(each.system_from) ?? []), each]);
  return [...found];
}

function changeEvent(change, app) {
  const legal = change.effective && [", legal from ", timeElement(change.effective)];
  const state = change.state && change.state !== "event" ? ` (${change.state})` : "";
  return element(
    "p",
    {},
    element("a", { href: app.href({ change: change.id, parcel: null }) }, kindLabel(change.kind) + state),
    isOfParcels(change.kind) ? null : ` ${change.old ?? "none"} → ${change.new ?? "none"}`,
    legal,
  );
}

function zoningEvent(shares, app) {
  const codes = shares.flatMap((each, index) => [index ? ", " : "", shareElement(each, app)]);
  const [{ legal_from: legal }] = shares;
  return element("p", {}, "Zoning on the map: ", codes, legal && [", legal from ", timeElement(legal)]);
}

function rowEvent(row, index) {
  const values = [
    row.area_m2 && area(row.area_m2),
    row.address,
    row.land_use && `land use ${row.land_use}`,
    row.zoning_code_local && `code ${row.zoning_code_local}`,
  ].filter(Boolean);
  return element("p", {}, `${index ? "The parcel's row changed" : "First published"}: ${values.join(", ")}`);
}
