// The style of the map, made from what a person wants to see. A pure function: the map is told the new style, and
// MapLibre applies the difference.

import { tiles } from "./api.js";
import { NO_COLOR, safeColor } from "./dom.js";
import { kindsOf } from "./kinds.js";

/** From this zoom on lots are drawn; below it a tile would hold more lots than one can see. */
export const LOTS_FROM = 14;
const MAX_ZOOM = 16; // of the tiles; closer views draw the same tiles larger
const LAYER = "default"; // what tipg calls the layer in its tiles

// The accent is no colour of the legend (transform/map_colors.py), so that changes are not taken for a zone.
const LIGHT = { ground: "#f4f3ef", line: "#55534c", casing: "#ffffff", accent: "#b93c0a", ink: "#16150f" };
const DARK = { ground: "#16181c", line: "#c9c6bd", casing: "#0b0c0e", accent: "#ff9a5c", ink: "#ffffff" };

export const inks = (isDark) => (isDark ? DARK : LIGHT);

/**
 * view: jurisdiction, colors {type, code: [[value, color]]}, color "type" or "code", time (ISO, of the lots; null: now),
 * changedAfter and changedUntil (ISO, null: all), kind, hidden (Set of layers), isDark, selected and frames (GeoJSON),
 * basemap {tiles, attribution}. Districts are shown as they are now only.
 */
export function mapStyle(view) {
  const ink = inks(view.isDark);
  return { version: 8, sources: sources(view), layers: layers(view, ink) };
}

function sources(view) {
  const found = {
    selected: { type: "geojson", data: view.selected ?? NOTHING },
    frames: { type: "geojson", data: view.frames ?? NOTHING },
  };
  if (view.basemap?.tiles) {
    found.basemap = {
      type: "raster",
      tiles: [view.basemap.tiles],
      tileSize: 256,
      attribution: view.basemap.attribution,
    };
  }
  if (!view.jurisdiction) return found;
  const values = { jurisdiction: view.jurisdiction };
  const of = (name, given, minzoom) => ({
    type: "vector",
    tiles: [tiles(`zoning.${name}`, given)],
    minzoom,
    maxzoom: MAX_ZOOM,
  });
  const lots = { properties: "parcel_id,zoning_code,zone_type,address" };
  const changes = { ...values, kind: view.kind, properties: "id,kind,state,old,new", filter: timeFilter(view) };
  found.lots = of(
    view.time ? "parcel_as_of" : "zoned_parcel",
    { ...values, ...lots, system_time: view.time },
    LOTS_FROM,
  );
  found.changes = of("change_feature", changes, 8);
  if (!view.time) found.districts = of("zoned_district", { ...values, properties: "code,code_local,zone_type" }, 8);
  return found;
}

const NOTHING = { type: "FeatureCollection", features: [] };

function timeFilter({ changedAfter, changedUntil }) {
  const parts = [
    changedAfter && `detected > TIMESTAMP('${utc(changedAfter)}')`,
    changedUntil && `detected <= TIMESTAMP('${utc(changedUntil)}')`,
  ];
  return parts.filter(Boolean).join(" AND ");
}

/** CQL2 wants a time in UTC with Z. */
const utc = (iso) => new Date(iso).toISOString();

function layers(view, ink) {
  const drawn = [{ id: "ground", type: "background", paint: { "background-color": ink.ground } }];
  if (view.basemap?.tiles)
    drawn.push({ id: "basemap", type: "raster", source: "basemap", paint: { "raster-opacity": 0.55 } });
  const isShown = (name) => !view.hidden.has(name);
  if (view.jurisdiction) {
    if (isShown("districts") && !view.time) drawn.push(...districtLayers(view, ink));
    if (isShown("lots")) drawn.push(...lotLayers(view, ink));
    if (isShown("parcels")) drawn.push(...changeLayers("parcel", kindsOf("parcel"), "dots", [2, 1.5], view, ink));
    if (isShown("changes"))
      drawn.push(...changeLayers("zoning", kindsOf("zoning", "facets"), "hatch", null, view, ink));
  }
  drawn.push(...frameLayers(view, ink), ...selectedLayers(ink));
  if (view.jurisdiction && isShown("districts") && !view.time) drawn.push(districtLabels(view));
  if (view.jurisdiction && isShown("changes") && !view.changedAfter) drawn.push(changeLabels(view));
  return drawn;
}

/** Colours by the value of a column. A value that the legend does not know is grey. */
function colorBy(column, pairs) {
  const known = new Map(
    pairs.filter(([value]) => typeof value === "string").map(([value, color]) => [value, safeColor(color)]),
  );
  if (known.size === 0) return NO_COLOR;
  return ["match", ["coalesce", ["get", column], ""], ...[...known].flat(), NO_COLOR];
}

function districtLayers(view, ink) {
  const color = view.color === "code" ? colorBy("code", view.colors.code) : colorBy("zone_type", view.colors.type);
  const source = { source: "districts", "source-layer": LAYER };
  const isClose = view.hidden.has("lots") ? 0.6 : 0.16;
  return [
    {
      id: "district-fill",
      type: "fill",
      ...source,
      paint: {
        "fill-color": color,
        "fill-opacity": ["interpolate", ["linear"], ["zoom"], 13.6, 0.6, 14.2, isClose],
      },
    },
    {
      id: "district-line",
      type: "line",
      ...source,
      paint: {
        "line-color": ink.line,
        "line-opacity": 0.55,
        "line-width": ["interpolate", ["linear"], ["zoom"], 10, 0.3, 15, 1.2],
        "line-dasharray": [4, 2],
      },
    },
  ];
}

function districtLabels(view) {
  const text = ["coalesce", ["get", "code"], ["get", "code_local"], ""];
  return {
    id: "district-label",
    type: "symbol",
    source: "districts",
    "source-layer": LAYER,
    minzoom: 11,
    layout: { "icon-image": ["concat", `label:${view.isDark ? "dark" : "light"}:`, text], "icon-padding": 12 },
  };
}

function lotLayers(view, ink) {
  const color =
    view.color === "code" ? colorBy("zoning_code", view.colors.code) : colorBy("zone_type", view.colors.type);
  const source = { source: "lots", "source-layer": LAYER };
  return [
    {
      id: "lot-fill",
      type: "fill",
      ...source,
      paint: { "fill-color": color, "fill-opacity": view.isDark ? 0.62 : 0.68 },
    },
    {
      id: "lot-line",
      type: "line",
      ...source,
      paint: {
        "line-color": ink.ground,
        "line-width": ["interpolate", ["linear"], ["zoom"], 14, 0.4, 18, 1.6],
      },
    },
  ];
}

/** Changes of some kinds; not those that a person must review, and not retracted ones. */
const isEventOf = (kinds) => ["all", ["in", ["get", "kind"], ["literal", kinds]], ["==", ["get", "state"], "event"]];

function changeLayers(id, kinds, pattern, dashes, view, ink) {
  const source = { source: "changes", "source-layer": LAYER, filter: isEventOf(kinds) };
  const width = (close, far) => ["interpolate", ["linear"], ["zoom"], 13.5, far, 15, close, 18, close * 1.6];
  return [
    {
      id: `change-${id}-fill`,
      type: "fill",
      ...source,
      paint: { "fill-pattern": `${pattern}:${view.isDark ? "dark" : "light"}` },
    },
    {
      id: `change-${id}-casing`,
      type: "line",
      ...source,
      paint: { "line-color": ink.casing, "line-width": width(4.4, 0) },
    },
    {
      id: `change-${id}-line`,
      type: "line",
      ...source,
      paint: {
        "line-color": ink.accent,
        "line-width": width(2, 1.2),
        ...(dashes ? { "line-dasharray": dashes } : {}),
      },
    },
  ];
}

function changeLabels(view) {
  const text = ["concat", ["coalesce", ["get", "old"], "none"], " → ", ["coalesce", ["get", "new"], "none"]];
  return {
    id: "change-label",
    type: "symbol",
    source: "changes",
    "source-layer": LAYER,
    minzoom: 15,
    filter: isEventOf(kindsOf("zoning", "facets")),
    layout: {
      "icon-image": ["concat", `change:${view.isDark ? "dark" : "light"}:`, text],
      "icon-padding": ["interpolate", ["linear"], ["zoom"], 15, 70, 17, 50, 18.5, 3],
    },
  };
}

function frameLayers(view, ink) {
  const isFine = ["match", ["get", "state"], "ok", true, false];
  return [
    {
      id: "frame-fill",
      type: "fill",
      source: "frames",
      paint: { "fill-color": ["case", isFine, ink.line, ink.accent], "fill-opacity": 0.08 },
    },
    {
      id: "frame-line",
      type: "line",
      source: "frames",
      filter: isFine,
      paint: { "line-color": ink.line, "line-width": 1.5 },
    },
    {
      id: "frame-line-held",
      type: "line",
      source: "frames",
      filter: ["!", isFine],
      paint: {
        "line-color": ink.accent,
        "line-width": 3,
        "line-dasharray": [2, 1],
      },
    },
    {
      id: "frame-label",
      type: "symbol",
      source: "frames",
      layout: {
        "icon-image": ["concat", `label:${view.isDark ? "dark" : "light"}:`, ["get", "name"]],
        "icon-allow-overlap": true,
      },
    },
  ];
}

function selectedLayers(ink) {
  const source = { source: "selected", layout: { "line-join": "round" } };
  return [
    { id: "selected-casing", type: "line", ...source, paint: { "line-color": ink.casing, "line-width": 9 } },
    { id: "selected-line", type: "line", ...source, paint: { "line-color": ink.ink, "line-width": 4.5 } },
  ];
}

/** The layers that answer a click, the first that is hit. */
export const CLICKABLE = ["change-zoning-fill", "change-parcel-fill", "lot-fill", "district-fill", "frame-fill"];
