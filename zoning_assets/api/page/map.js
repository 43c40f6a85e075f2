// The map page: state, address, and what follows from them. The state is the address; see permalink.js.

import { changedShapes, get, hasCollection, keepToken, onTokenNeeded } from "./api.js";
import { listChanges, showChange } from "./change_panel.js";
import { showTimeline, startDivider, startTimeline } from "./compare.js";
import { announce, byId, element, empty, failure, plain } from "./dom.js";
import { colorsOf, showLegend, startLegend, usualColor } from "./legend.js";
import { showParcel } from "./parcel_panel.js";
import * as permalink from "./permalink.js";
import { listReviews } from "./review_panel.js";
import { startSearch } from "./search.js";
import { listStatus } from "./status_panel.js";
import { LOTS_FROM } from "./style.js";
import { boundsOf, createMap, denseBounds, fit, reloadChanges, show } from "./zoning_map.js";

const NO_LEGEND = { zone_types: [], codes: [] };
/** The parts of the state that the panel shows. If none of them changes, the panel stays as it is. */
const OF_PANEL = ["jurisdiction", "view", "kind", "change", "parcel"];

let state = {};
let jurisdictions = [];
let settings = {};
let legend = NO_LEGEND;
let releases = [];
let isPastKnown = false; // the server can show lots of an older release
let maps = null; // {after, before, placeDivider}; null: no WebGL
let selected = null;
let frames = null;
let request = new AbortController();

/** What panels may know and do. */
const app = {
  go: (patch) => visit({ ...state, ...patch }),
  href: (patch) => permalink.write({ ...state, at: null, ...patch }),
  colorOf: (code) => legend.codes.find((each) => each.code === code)?.color,
  nameOf: (id) => jurisdictions.find((each) => each.id === id)?.name ?? id,
  jurisdictions: () => jurisdictions,
  releases: () => releases,
  announce,
  fail: (error) => {
    if (error.name !== "AbortError") byId("content").prepend(failure(error));
  },
  reviewed: () => {
    if (maps) reloadChanges(maps.after);
  },
};

/** Go to a state as if its link was followed. */
function visit(next) {
  history.pushState(null, "", permalink.write(next));
  return render(next);
}

/** Show a state: rows first, so that the map has its colours, then the panel. */
async function render(next, { isFirst = false } = {}) {
  const before = state;
  state = next;
  const isElsewhere = before.jurisdiction !== state.jurisdiction;
  if (isElsewhere) await readJurisdiction(state.jurisdiction);
  byId("jurisdiction").value = state.jurisdiction ?? "";
  byId("legend").hidden = isStatusView() || !state.jurisdiction || !maps;
  for (const tab of document.querySelectorAll("[data-view]")) {
    if (tab.dataset.view === state.view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  const usualPlace = isFirst || isElsewhere ? firstBounds() : null;
  const isSamePanel = !isFirst && OF_PANEL.every((name) => before[name] === state[name]);
  if (!isSamePanel) await renderPanel(isFirst, usualPlace);
  drawMaps();
}

async function readJurisdiction(id) {
  [legend, releases] = [NO_LEGEND, []];
  if (!id) return;
  const path = encodeURIComponent(id);
  const [colors, times] = await Promise.all([get(`legend/${path}`), get(`releases/${path}`)]).catch((error) => {
    app.fail(error);
    return [NO_LEGEND, { releases: [] }];
  });
  legend = colors;
  releases = times.releases.toSorted((a, b) => Date.parse(a.time) - Date.parse(b.time));
}

async function renderPanel(isFirst, usualPlace) {
  request.abort();
  request = new AbortController();
  const { signal } = request;
  const content = byId("content");
  content.setAttribute("aria-busy", "true");
  let panel;
  try {
    panel = await panelOf(state)(state, app, signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    panel = {
      name: "Error",
      nodes: [
        element(
          "p",
          { class: "back" },
          element("a", { href: app.href({ change: null, parcel: null }) }, "All changes"),
        ),
        failure(error),
      ],
    };
  }
  if (signal.aborted) return;
  const nodes = panel.nodes.flat().filter(Boolean);
  content.replaceChildren(...nodes);
  content.removeAttribute("aria-busy");
  content.scrollTop = 0;
  document.title = plain(`${panel.name} · ${app.nameOf(state.jurisdiction) ?? "Zoning changes"}`);
  selected = panel.geometry ? { type: "Feature", properties: {}, geometry: panel.geometry } : null;
  frames = panel.frames ?? null;
  if (!isFirst) {
    announce(panel.name);
    content.querySelector(".title")?.focus({ preventScroll: true });
  }
  await moveMap(panel, isFirst, usualPlace);
}

function panelOf({ parcel, change, view, jurisdiction }) {
  if (parcel) return showParcel;
  if (change) return showChange;
  if (view === "status") return listStatus;
  if (!jurisdiction) return nothingYet;
  return view === "review" ? listReviews : listChanges;
}

const nothingYet = async () => ({
  name: "Nothing yet",
  nodes: [empty("Nothing is published yet. Run zoning demo, or zoning sync JURISDICTION, and open this page again.")],
});

/** Move the map to what the panel shows: its geometry; else, in a new jurisdiction, to its usual place. */
async function moveMap(panel, isFirst, usualPlace) {
  if (!maps) return;
  const bounds = boundsOf(panel.geometry);
  const at = isFirst ? permalink.position(state.at) : null;
  if (at) maps.after.jumpTo(at);
  else if (bounds) fit(maps.after, bounds, { isAtOnce: isFirst });
  else if (panel.frames?.features.length)
    fit(maps.after, boundsOf({ coordinates: panel.frames.features.map((each) => each.geometry.coordinates) }));
  else if (usualPlace) fit(maps.after, await usualPlace, { isAtOnce: true });
}

/** Where most of the newest changes are; without changes, the jurisdiction. */
async function firstBounds() {
  const known = jurisdictions.find((each) => each.id === state.jurisdiction) ?? {};
  const shapes = known.changes ? await changedShapes(known.id).catch(() => []) : [];
  return denseBounds(shapes.map(boundsOf)) ?? known.changed_bounds ?? known.bounds;
}

/** Both maps show the state. */
function drawMaps() {
  const color = state.color ?? usualColor(legend);
  const hidden = hiddenLayers();
  const isStatus = isStatusView();
  const isPast = Boolean(state.time && isPastKnown && !isStatus);
  const isComparing = Boolean(state.compare && isPast);
  showLegend(legend, color, hidden);
  showTimeline(releases, state, isPastKnown && Boolean(maps) && !isStatus);
  for (const id of ["before", "divider", "before-label", "after-label"]) byId(id).hidden = !isComparing;
  if (!maps) return;
  const view = {
    jurisdiction: isStatus ? null : state.jurisdiction,
    colors: colorsOf(legend),
    color,
    kind: state.kind,
    selected,
    frames,
    basemap: settings,
    isDark: dark.matches,
    hidden: isComparing ? hidden.add("districts") : hidden,
    time: null,
    changedAfter: isComparing ? state.time : null,
    changedUntil: null,
  };
  const past = { ...view, time: state.time };
  showHint();
  show(maps.after, isPast && !isComparing ? { ...past, changedUntil: state.time } : view);
  if (!isComparing) return;
  show(maps.before, past);
  maps.placeDivider();
  maps.before.resize();
  maps.before.jumpTo({ center: maps.after.getCenter(), zoom: maps.after.getZoom() });
}

const isStatusView = () => state.view === "status" && !state.change && !state.parcel;
const hiddenLayers = () => new Set((state.hide ?? "").split(",").filter(Boolean));

/** Lots are drawn on close maps only; say so where nothing else is drawn. */
function showHint() {
  const isFar = maps && maps.after.getZoom() < LOTS_FROM;
  byId("hint").hidden = !(isFar && state.time && isPastKnown && !isStatusView());
}

const dark = matchMedia("(prefers-color-scheme: dark)");

function startMaps() {
  try {
    const after = createMap(byId("after"), "Map of the lots and their changes", openFeature, showReadout);
    const before = createMap(byId("before"), "Map of an older release", openFeature, showReadout);
    after.addControl(new maplibregl.NavigationControl({ showCompass: false }), "top-right");
    after.addControl(new maplibregl.ScaleControl({ unit: "metric" }), "bottom-right");
    if (settings.tiles) after.addControl(new maplibregl.AttributionControl({ compact: true }), "bottom-right");
    after.on("moveend", keepPosition);
    after.on("zoom", showHint);
    maps = { after, before, placeDivider: startDivider(before, after) };
  } catch {
    byId("stage").append(
      empty("The map needs WebGL, which this browser does not offer. The lists beside it work without it."),
    );
  }
}

function keepPosition() {
  state = { ...state, at: permalink.positionText(maps.after.getZoom(), maps.after.getCenter()) };
  history.replaceState(null, "", permalink.write(state));
}

function openFeature(found) {
  if (!found) return;
  const { layer, properties } = found;
  if (layer.startsWith("change-")) app.go({ change: String(properties.id), parcel: null });
  else if (layer === "lot-fill") app.go({ parcel: String(properties.parcel_id), change: null });
  else if (layer === "frame-fill") app.go({ jurisdiction: properties.id, view: "changes", change: null, kind: null });
}

/** What is under the pointer, in a fixed place. */
function showReadout(found) {
  const { layer = "", properties = {} } = found ?? {};
  const texts = layer.startsWith("change-")
    ? [String(properties.kind).replaceAll("_", " "), `${properties.old ?? "none"} → ${properties.new ?? "none"}`]
    : layer === "frame-fill"
      ? [properties.name]
      : [properties.parcel_id, properties.address, properties.zoning_code ?? properties.code, properties.zone_type];
  byId("readout").textContent = plain(texts.filter(Boolean).join(" · "));
  byId("readout").hidden = !found;
}

/** Links of this page change the state; the browser need not load the page again. */
function followLink(event) {
  const anchor = event.target.closest?.("a[href]");
  const isOurs =
    anchor &&
    anchor.origin === location.origin &&
    !anchor.target &&
    (anchor.pathname === "/" || anchor.pathname.startsWith("/parcel/"));
  if (!isOurs || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  visit({ ...permalink.read(anchor), at: state.at });
}

function startControls() {
  document.addEventListener("click", followLink);
  addEventListener("popstate", () => render(withJurisdiction(permalink.read(location))));
  dark.addEventListener("change", drawMaps);
  startLegend(
    (color) => app.go({ color }),
    (layer, isShown) => {
      const hidden = hiddenLayers();
      hidden[isShown ? "delete" : "add"](layer);
      app.go({ hide: [...hidden].join(",") || null });
    },
  );
  startTimeline(
    () => releases,
    (patch) => app.go(patch),
  );
  startSearch(
    () => state.jurisdiction,
    (found) => app.go({ jurisdiction: found.jurisdiction, parcel: found.parcel_id, change: null }),
  );
  byId("jurisdiction").addEventListener("change", (event) =>
    app.go({
      jurisdiction: event.target.value,
      view: "changes",
      change: null,
      parcel: null,
      kind: null,
      time: null,
      compare: null,
    }),
  );
  for (const tab of document.querySelectorAll("[data-view]")) {
    tab.addEventListener("click", () => app.go({ view: tab.dataset.view, change: null, parcel: null }));
  }
}

/** Without a jurisdiction in the address: the one that changed, and was harvested last. */
function withJurisdiction(wanted) {
  if (wanted.jurisdiction) return wanted;
  const rank = (each) => [each.changes > 0, each.parcels > 0, Date.parse(each.last_harvest ?? 0) || 0];
  const order = jurisdictions.toSorted(
    (a, b) =>
      rank(b)
        .map(Number)
        .map((value, at) => value - Number(rank(a)[at]))
        .find(Boolean) ?? 0,
  );
  return { ...wanted, jurisdiction: order[0]?.parcels ? order[0].id : null };
}

/** Ask for a token once, then start again with it. */
function askForToken() {
  const dialog = byId("sign-in");
  if (dialog.open) return;
  dialog.addEventListener(
    "close",
    () => {
      if (dialog.returnValue !== "use") return;
      keepToken(byId("token").value);
      location.reload();
    },
    { once: true },
  );
  dialog.showModal();
}

async function start() {
  const printed = permalink.tokenIn(location);
  if (printed) keepToken(printed);
  onTokenNeeded(askForToken);
  startControls();
  const known = await Promise.all([get("settings"), get("jurisdictions"), hasCollection("zoning.parcel_as_of")]).catch(
    (error) => {
      app.fail(error);
    },
  );
  if (!known) return;
  [settings, { jurisdictions }, isPastKnown] = known;
  byId("jurisdiction").replaceChildren(
    ...jurisdictions.map((each) => element("option", { value: each.id }, each.name ?? each.id)),
  );
  startMaps();
  const first = withJurisdiction(permalink.read(location));
  history.replaceState(null, "", permalink.write(first));
  await render(first, { isFirst: true });
  document.documentElement.dataset.ready = "true";
}

start();
