// The legend: what the colours and patterns mean, and which layers are shown.

import { byId, counted, element, swatch } from "./dom.js";

const MOST = 24; // colours that are listed at once

/** `choose(color)`: "type" or "code". `toggle(layer, isShown)`: a layer of the map. */
export function startLegend(choose, toggle) {
  byId("legend").open = matchMedia("(min-width: 60rem)").matches;
  for (const radio of document.querySelectorAll("input[name=color]")) {
    radio.addEventListener("change", () => choose(radio.value));
  }
  for (const box of document.querySelectorAll("[data-layer]")) {
    box.addEventListener("change", () => toggle(box.dataset.layer, box.checked));
  }
}

export function showLegend(legend, color, hidden) {
  for (const radio of document.querySelectorAll("input[name=color]")) radio.checked = radio.value === color;
  for (const box of document.querySelectorAll("[data-layer]")) box.checked = !hidden.has(box.dataset.layer);
  const rows =
    color === "code"
      ? legend.codes.map((each) => ({ ...each, name: codeName(each) }))
      : legend.zone_types.map((each) => ({ ...each, name: each.zone_type ?? "No zone type is stated" }));
  const used = rows.filter((each) => each.parcels > 0 || each.parcels === undefined);
  const items = used.map((each) =>
    element(
      "li",
      {},
      swatch(each.color),
      element("span", { class: "main" }, each.name),
      element("span", { class: "note" }, each.parcels === undefined ? "" : counted(each.parcels, "lot")),
    ),
  );
  const rest = items.splice(MOST);
  const more =
    rest.length > 0 &&
    element(
      "li",
      {},
      element(
        "button",
        { type: "button", class: "fold", onclick: (event) => event.currentTarget.parentElement.replaceWith(...rest) },
        `Show ${rest.length} more`,
      ),
    );
  byId("swatches").replaceChildren(...items, ...(more ? [more] : []));
}

function codeName({ code, code_local: local }) {
  if (code === null || code === undefined) return "No code";
  return local && local !== code ? `${code} (${local})` : code;
}

/** The colours of the map by zone type and by code, as pairs. */
export const colorsOf = (legend) => ({
  type: legend.zone_types.map((each) => [each.zone_type, each.color]),
  code: legend.codes.map((each) => [each.code, each.color]),
});

/** By zone type if the jurisdiction states types, else by code. */
export const usualColor = (legend) => (legend.zone_types.some((each) => each.zone_type) ? "type" : "code");
