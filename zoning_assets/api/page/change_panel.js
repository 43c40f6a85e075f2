// The list of changes, and the card of one change.

import { get, segment } from "./api.js";
import {
  area,
  count,
  counted,
  day,
  element,
  empty,
  facts,
  outerLink,
  percent,
  plainNumber,
  swatch,
  timeElement,
  title,
  when,
} from "./dom.js";
import { GROUPS, isOfParcels, kindLabel } from "./kinds.js";

const PAGE = 100; // changes per request
const FOLDED = 6; // changes of a group that are shown at first
const MOST_PARCELS = 30;

/** The list, newest first. `app`: see map.js. */
export async function listChanges(state, app, signal) {
  const ask = (cursor) =>
    get("changes", { jurisdiction: state.jurisdiction, kind: state.kind, limit: PAGE, cursor }, signal);
  const first = await ask(null);
  const list = element("div", { class: "groups" });
  const shown = [];
  const more = element("button", { type: "button", class: "wide" }, "Show more changes");
  let cursor = first.next;
  const add = (answer) => {
    shown.push(...answer.changes);
    list.replaceChildren(...groups(shown).map((each) => groupElement(each, state, app)));
    cursor = answer.next;
    more.hidden = !cursor;
  };
  more.addEventListener("click", async () => {
    more.disabled = true;
    await ask(cursor).then(add, app.fail);
    more.disabled = false;
    app.announce(`${count(shown.length)} of ${count(first.total)} changes are listed`);
  });
  add(first);
  const nothing = state.kind
    ? "No change of this kind was found."
    : "No change was found. Changes are listed after the second harvest.";
  return {
    name: `${counted(first.total, "change")}`,
    nodes: [
      element("div", { class: "head" }, title(counted(first.total, "change")), kindFilter(state, app)),
      shown.length ? list : empty(nothing),
      more,
    ],
  };
}

function kindFilter(state, app) {
  const option = (kind) => element("option", { value: kind, selected: kind === state.kind }, kindLabel(kind));
  const select = element(
    "select",
    { "aria-label": "Kind of change" },
    element("option", { value: "" }, "All kinds"),
    GROUPS.map((group) => element("optgroup", { label: group.label }, group.kinds.map(option))),
  );
  select.addEventListener("change", () => app.go({ kind: select.value || null, change: null }));
  return select;
}

/** Changes of one kind with the same codes, noticed together, in groups: the newest first, zoning before parcels. */
function groups(changes) {
  const found = new Map();
  for (const change of changes) {
    const codes = isOfParcels(change.kind) ? [] : [change.old, change.new];
    const key = JSON.stringify([change.detected, change.kind, ...codes]);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(change);
  }
  const rank = ([first]) => GROUPS.findIndex((each) => each.kinds.includes(first.kind));
  found.forEach((each) => each.sort((a, b) => nameOf(a).localeCompare(nameOf(b), "en", { numeric: true })));
  const newest = (a, b) => Date.parse(b[0].detected) - Date.parse(a[0].detected);
  return [...found.values()].sort((a, b) => newest(a, b) || rank(a) - rank(b) || b.length - a.length);
}

const nameOf = ({ parcel_ids: ids }) => ids?.[0] ?? "";

function groupElement(changes, state, app) {
  const [first] = changes;
  const total = changes.reduce((sum, each) => sum + (each.area_m2 ?? 0), 0);
  const items = changes.map((each) => itemElement(each, state, app));
  const list = element("ul", { class: "items" }, items.slice(0, FOLDED));
  const rest = items.length - FOLDED;
  const open = rest > 0 && element("button", { type: "button", class: "fold" }, `Show ${count(rest)} more`);
  if (open)
    open.addEventListener("click", () => {
      list.append(...items.slice(FOLDED));
      open.remove();
      items[FOLDED].querySelector("a").focus();
    });
  const what = isOfParcels(first.kind) ? null : codes(first, app);
  const sum =
    changes.length > 1
      ? [counted(changes.length, "change"), total > 0 && area(total), ""].filter((each) => each !== false).join(" · ")
      : "";
  return element(
    "section",
    { class: "group" },
    element("h3", {}, element("span", { class: "kind" }, kindLabel(first.kind)), what),
    element("p", { class: "note" }, `${sum}noticed `, timeElement(first.detected, day)),
    list,
    open,
  );
}

function itemElement(change, state, app) {
  const ids = change.parcel_ids ?? [];
  const name = isOfParcels(change.kind)
    ? lineageText(change)
    : ids.slice(0, 3).join(", ") + (ids.length > 3 ? ` and ${ids.length - 3} more` : "");
  const note = [
    change.area_m2 ? area(change.area_m2) : null,
    change.share && change.share < 0.995 ? `${percent(change.share)} of the lot` : null,
  ];
  return element(
    "li",
    {},
    element(
      "a",
      { href: app.href({ change: change.id, parcel: null }), "data-change": change.id },
      element("span", { class: "main" }, name || kindLabel(change.kind)),
      element("span", { class: "note" }, note.filter(Boolean).join(" · ")),
    ),
  );
}

function lineageText(change) {
  const { parents, children } = lineage(change);
  return `${parents.slice(0, 3).join(", ") || "none"} → ${children.slice(0, 3).join(", ") || "none"}`;
}

/** The parcels before and after a change of parcels. */
export function lineage({ evidence, old, new: now }) {
  const listed = (ids, text) => (Array.isArray(ids) && ids.length ? ids : text ? [text] : []);
  return { parents: listed(evidence?.parents, old), children: listed(evidence?.children, now) };
}

/** `R-1 → R-4` with the colours of the legend. */
function codes({ old, new: now }, app) {
  const one = (code) => element("span", { class: "code" }, swatch(app.colorOf(code)), code ?? "none");
  return element(
    "span",
    { class: "codes" },
    one(old),
    element("span", { class: "arrow", "aria-label": "to" }, "→"),
    one(now),
  );
}

/** The card of one change. */
export async function showChange(state, app, signal) {
  const change = await get(`changes/${segment(state.change)}`, {}, signal);
  const heading = kindLabel(change.kind);
  const links = [
    change.portal && outerLink(change.portal, "Open the portal"),
    change.dagster && outerLink(change.dagster, "Show me in Dagster"),
  ];
  return {
    name: `${heading}: ${(change.parcel_ids ?? []).slice(0, 3).join(", ")}`,
    geometry: change.geometry,
    nodes: [
      element(
        "p",
        { class: "back" },
        element(
          "a",
          { href: app.href({ change: null }) },
          state.view === "review" ? "Back to the review" : "All changes",
        ),
      ),
      element(
        "article",
        { class: "details" },
        title(heading),
        stateNote(change),
        isOfParcels(change.kind) ? lineageElement(change, app) : element("p", { class: "big" }, codes(change, app)),
        changeFacts(change, app),
        element("p", { class: "actions" }, compareLink(change, app), links.filter(Boolean)),
        why(change),
      ),
    ],
  };
}

function stateNote({ state }) {
  const notes = {
    review: "This change is thinner than the tolerance of the map. A person decides whether it is one.",
    retracted: "This change was retracted, because the release in which it was noticed was undone.",
  };
  return notes[state] ? element("p", { class: "warn" }, notes[state]) : null;
}

export function lineageElement(change, app) {
  const { parents, children } = lineage(change);
  const side = (ids) => (ids.length ? parcelLinks(change.jurisdiction, ids, app) : "none");
  return element(
    "p",
    { class: "lineage" },
    element("span", {}, side(parents)),
    element("span", { class: "arrow", "aria-label": "became" }, "→"),
    element("span", {}, side(children)),
  );
}

export function parcelLinks(jurisdiction, ids, app) {
  const links = ids
    .slice(0, MOST_PARCELS)
    .flatMap((id, index) => [
      index ? ", " : "",
      element("a", { href: app.href({ jurisdiction, parcel: id, change: null }) }, id),
    ]);
  return ids.length > MOST_PARCELS ? [...links, ` and ${count(ids.length - MOST_PARCELS)} more`] : links;
}

function changeFacts(change, app) {
  const ids = change.parcel_ids ?? [];
  const listed = ids.length ? element("span", {}, parcelLinks(change.jurisdiction, ids, app)) : "no single parcel";
  return facts([
    [ids.length === 1 ? "Parcel" : "Parcels", isOfParcels(change.kind) ? null : listed],
    ["Area", change.area_m2 ? area(change.area_m2) : null],
    ["Share of the lot", change.share ? percent(change.share) : null],
    ["Noticed", timeElement(change.detected)],
    ["Legal from", change.effective ? timeElement(change.effective) : "not stated"],
    ["Ordinance", ordinances(change.amendments ?? [])],
    ["Confidence", confidence(change.confidence)],
    ["Change id", element("code", {}, change.id)],
  ]);
}

function ordinances(amendments) {
  if (amendments.length === 0) return "none is known";
  return element(
    "ul",
    { class: "plain" },
    amendments.map((each) => {
      const numbers = [...(each.ordinance_numbers ?? []), ...(each.case_numbers ?? [])].join(", ") || each.amendment;
      return element(
        "li",
        {},
        outerLink(each.source, numbers) ?? numbers,
        ` (${each.status}, match ${plainNumber(each.score)})`,
      );
    }),
  );
}

function confidence(value) {
  if (typeof value !== "number") return null;
  const bar = element("meter", { min: 0, max: 1, value, "aria-label": "Confidence" });
  return element("span", { class: "confidence" }, bar, plainNumber(value));
}

/** Codes of one zone type have one colour, so before and after are coloured by code. */
function compareLink(change, app) {
  const before = app.releases().findLast((each) => Date.parse(each.time) < Date.parse(change.detected));
  return (
    before &&
    element(
      "a",
      { class: "button", href: app.href({ compare: "1", time: before.time, color: "code" }) },
      "Compare before and after",
    )
  );
}

/** The numbers of `zoning explain`. */
function why({ explain }) {
  const { lines = [], ...values } = explain ?? {};
  const evidence = Object.entries(values).map(([name, value]) => [name.replaceAll("_", " "), valueElement(value)]);
  if (!lines.length) return null;
  return element(
    "section",
    { class: "why" },
    element("h3", {}, "Why it was recorded"),
    element(
      "ul",
      { class: "lines" },
      lines.map((line) => element("li", {}, line)),
    ),
    evidence.length > 0 && element("details", {}, element("summary", {}, "Evidence"), facts(evidence)),
  );
}

function valueElement(value) {
  if (typeof value === "number") return plainNumber(value);
  if (typeof value === "string") return /^\d{4}-\d\d-\d\dT/.test(value) ? when(value) : value;
  if (value === null || value === undefined) return null;
  if (Array.isArray(value) && value.every((each) => typeof each !== "object")) return value.join(", ");
  return element("pre", {}, JSON.stringify(value, null, 1));
}
