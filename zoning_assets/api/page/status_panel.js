// Every jurisdiction: freshness, rejections, holds; also as frames on the map.

import { get } from "./api.js";
import { count, counted, element, empty, facts, timeElement, title, when } from "./dom.js";

const SAMPLES = 3; // rejected rows of each reason

export async function listStatus(state, app, signal) {
  const [{ holds = [] }, status] = await Promise.all([
    get("holds", {}, signal),
    get("status", {}, signal).catch(() => ({})),
  ]);
  const known = app.jurisdictions();
  const needs = status.needs ?? [];
  return {
    name: "Status",
    frames: { type: "FeatureCollection", features: known.filter((each) => each.bounds && each.parcels).map(frame) },
    nodes: [
      title("Status"),
      needs.length > 0 &&
        section(
          "Needs a person",
          needs.map((each) =>
            element(
              "li",
              {},
              element("p", {}, `${each.where}: ${each.what}`),
              element("p", { class: "note" }, each.do),
            ),
          ),
        ),
      section(holds.length ? counted(holds.length, "hold") : "No holds", holds.map(holdElement)),
      section(
        "Jurisdictions",
        known.map((each) => jurisdictionElement(each, app)),
      ),
      known.length === 0 && empty("Nothing is published yet."),
    ],
  };
}

const section = (heading, items) =>
  element("section", {}, element("h3", {}, heading), items.length > 0 && element("ul", { class: "reviews" }, items));

function holdElement(hold) {
  return element(
    "li",
    {},
    element("p", {}, element("b", {}, hold.what ?? hold.jurisdiction ?? hold.host ?? "everything"), `: ${hold.reason}`),
    element(
      "p",
      { class: "note" },
      `${hold.actor}, since `,
      timeElement(hold.since),
      hold.until && [", until ", timeElement(hold.until)],
    ),
  );
}

function jurisdictionElement(each, app) {
  const rejections = element("details", {}, element("summary", {}, `${counted(each.rejected, "rejected row")}`));
  rejections.addEventListener("toggle", () => fillRejections(rejections, each.id, app), { once: true });
  return element(
    "li",
    { class: stateOf(each) },
    element(
      "p",
      {},
      element(
        "a",
        {
          href: app.href({
            jurisdiction: each.id,
            view: "changes",
            change: null,
            kind: null,
            time: null,
            compare: null,
          }),
        },
        each.name ?? each.id,
      ),
      Boolean(each.paused) && element("span", { class: "tag" }, "paused"),
      each.held.length > 0 && element("span", { class: "tag" }, "release held"),
      isLate(each) && element("span", { class: "tag" }, "late"),
    ),
    facts([
      [
        "Published",
        `${counted(each.parcels, "parcel")}, ${counted(each.districts, "district")}, ${counted(each.changes, "change")}`,
      ],
      ["Last harvest", each.last_harvest ? timeElement(each.last_harvest) : "none"],
      ["Freshness", freshness(each.freshness)],
    ]),
    each.rejected ? rejections : element("p", { class: "note" }, "no rejected rows"),
  );
}

const isLate = ({ freshness: given }) => given?.fresh === false;
const stateOf = (each) => (each.paused || each.held.length || isLate(each) ? "held" : "ok");

function freshness(given) {
  const limit = given.hours ? `limit ${count(given.hours)} h` : null;
  const state = { true: "within the limit", false: "older than the limit" }[given.fresh];
  const current = given.current && `confirmed ${when(given.current)}`;
  return [current, state, limit].filter(Boolean).join(", ") || "not known";
}

async function fillRejections(details, jurisdiction, app) {
  const found = await get("rejections", { jurisdiction, limit: SAMPLES }).catch(app.fail);
  if (!found) return;
  details.append(
    element(
      "ul",
      { class: "lines" },
      found.rejections.map((group) =>
        element(
          "li",
          {},
          element("b", {}, String(group.reason).replaceAll("_", " ")),
          `, ${group.feed}: ${counted(group.count, "row")}`,
          group.samples.map((each) => each.detail && element("p", {}, each.detail)),
        ),
      ),
    ),
  );
}

function frame(each) {
  const [w, s, e, n] = each.bounds;
  const ring = [
    [w, s],
    [e, s],
    [e, n],
    [w, n],
    [w, s],
  ];
  const words = [
    each.name ?? each.id,
    each.paused && "paused",
    each.held.length > 0 && "release held",
    isLate(each) && "late",
    each.rejected && `${count(each.rejected)} rejected`,
  ];
  const properties = { id: each.id, name: words.filter(Boolean).join(" · "), state: stateOf(each) };
  return { type: "Feature", properties, geometry: { type: "Polygon", coordinates: [ring] } };
}
