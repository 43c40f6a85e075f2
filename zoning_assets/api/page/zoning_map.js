// One map of MapLibre GL: made once, then told what to show.

import { authorization } from "./api.js";
import { picture, pixelRatio } from "./pictures.js";
import { CLICKABLE, mapStyle } from "./style.js";

const MOST_PICTURES = 2000; // labels of hostile data must not fill the memory

/** A map in an element. Throws if the browser has no WebGL. */
export function createMap(container, label, onClick, onHover) {
  const map = new maplibregl.Map({
    container,
    center: [-98, 39],
    zoom: 3,
    maxZoom: 20,
    attributionControl: false,
    dragRotate: false,
    pitchWithRotate: false,
    fadeDuration: 0,
    locale: { "Map.Title": label },
    transformRequest: (url) => ({ url, headers: isOurs(url) ? authorization() : {} }),
  });
  map.touchZoomRotate.disableRotation();
  map.keyboard.disableRotation();
  let pictures = 0;
  map.on("styleimagemissing", ({ id }) => {
    const found = pictures < MOST_PICTURES && !map.hasImage(id) ? picture(id) : null;
    if (!found) return;
    pictures += 1;
    map.addImage(id, found, { pixelRatio });
  });
  map.once("style.load", () => {
    map.on("click", (event) => onClick(featureAt(map, event.point)));
    map.on("mousemove", (event) => {
      const found = featureAt(map, event.point);
      map.getCanvas().classList.toggle("over", Boolean(found));
      onHover(found);
    });
    map.on("mouseout", () => onHover(null));
  });
  return map;
}

/** Whether the token may be sent there. */
const isOurs = (url) => new URL(url, location.href).origin === location.origin;

/** Show a view; see style.js. Only the difference to the view before is applied. */
export function show(map, view) {
  map.setStyle(mapStyle(view), { diff: true });
}

/** Request the changes again: a person decided about one. */
export function reloadChanges(map) {
  const source = map.getSource("changes");
  source?.setTiles(source.tiles);
}

/** What lies at a point: {layer, properties} of the topmost; null if there is nothing. */
function featureAt(map, point) {
  const layers = CLICKABLE.filter((id) => map.getLayer(id));
  const found = layers.length ? map.queryRenderedFeatures(point, { layers }) : [];
  if (found.length === 0) return null;
  const top = found.reduce((a, b) => (CLICKABLE.indexOf(a.layer.id) <= CLICKABLE.indexOf(b.layer.id) ? a : b));
  return { layer: top.layer.id, properties: top.properties };
}

const isReduced = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Move to bounds [west, south, east, north]; parts of the map that cards cover are left out. */
export function fit(map, bounds, { maxZoom = 17.5, isAtOnce = false } = {}) {
  if (!isBounds(bounds)) return;
  const width = map.getContainer().clientWidth;
  const legend = document.getElementById("legend");
  const left = legend.open && width > 760 ? legend.offsetWidth + 30 : 60;
  const padding = width < 600 ? 30 : { top: 60, bottom: 110, left, right: 60 };
  map.fitBounds(bounds, { padding, maxZoom, duration: isAtOnce || isReduced() ? 0 : 600 });
}

export const isBounds = (bounds) => Array.isArray(bounds) && bounds.length === 4 && bounds.every(Number.isFinite);

/** The bounds of a GeoJSON geometry; null if it has no coordinates. */
export function boundsOf(geometry) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  const walk = (each) => {
    if (typeof each?.[0] === "number") {
      box[0] = Math.min(box[0], each[0]);
      box[1] = Math.min(box[1], each[1]);
      box[2] = Math.max(box[2], each[0]);
      box[3] = Math.max(box[3], each[1]);
    } else each?.forEach(walk);
  };
  walk(geometry?.coordinates ?? []);
  (geometry?.geometries ?? []).forEach((part) => walk(part.coordinates));
  return isBounds(box) ? box : null;
}

/** The bounds where most of some places are: of the 85% that are nearest to their median. */
export function denseBounds(places) {
  const boxes = places.filter(isBounds);
  if (boxes.length === 0) return null;
  const middle = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
  const centres = boxes.map(([w, s, e, n]) => [(w + e) / 2, (s + n) / 2]);
  const [x, y] = [middle(centres.map((c) => c[0])), middle(centres.map((c) => c[1]))];
  const squeeze = Math.cos((y * Math.PI) / 180); // a degree of longitude is shorter than one of latitude
  const far = (index) => Math.hypot((centres[index][0] - x) * squeeze, centres[index][1] - y);
  const order = boxes.map((_, index) => index).sort((a, b) => far(a) - far(b));
  const near = order.slice(0, Math.max(1, Math.ceil(boxes.length * 0.85))).map((index) => boxes[index]);
  return [0, 1, 2, 3].map((side) => (side < 2 ? Math.min : Math.max)(...near.map((box) => box[side])));
}
