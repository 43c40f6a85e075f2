// The address of a view. Everything that a person chose is in the address, so it can be sent to another person:
// /parcel/JURISDICTION/ID for a parcel, / for all else, and the rest behind the #.

const KEPT = ["jurisdiction", "view", "kind", "change", "color", "time", "compare", "hide", "at"];
export const VIEWS = ["changes", "review", "status"];

/** The state that an address describes. */
export function read(address) {
  const values = new URLSearchParams(address.hash.slice(1));
  const state = Object.fromEntries(KEPT.map((name) => [name, values.get(name)]));
  if (!VIEWS.includes(state.view)) state.view = "changes";
  const [, page, jurisdiction, ...parcel] = address.pathname.split("/");
  if (page === "parcel" && parcel.length) {
    state.jurisdiction = decode(jurisdiction);
    state.parcel = decode(parcel.join("/"));
  }
  return state;
}

/** The address of a state. */
export function write(state) {
  const isParcel = Boolean(state.parcel);
  const path = isParcel ? `/parcel/${encodeURIComponent(state.jurisdiction)}/${encodeURIComponent(state.parcel)}` : "/";
  const values = new URLSearchParams();
  for (const name of KEPT) {
    const isInPath = isParcel && name === "jurisdiction";
    const isDefault = name === "view" && state.view === "changes";
    if (state[name] && !isInPath && !isDefault) values.set(name, state[name]);
  }
  const rest = values.toString().replaceAll("%2F", "/").replaceAll("%2C", ",").replaceAll("%3A", ":");
  return rest ? `${path}#${rest}` : path;
}

/** A position of the map as text (zoom/latitude/longitude), and back; null if it is none. */
export const positionText = (zoom, { lat, lng }) => `${zoom.toFixed(2)}/${lat.toFixed(5)}/${lng.toFixed(5)}`;

export function position(text) {
  const [zoom, lat, lng] = (text ?? "").split("/").map(Number);
  const isValid = [zoom, lat, lng].every(Number.isFinite) && Math.abs(lat) <= 85 && Math.abs(lng) <= 180;
  return isValid ? { zoom, center: [lng, lat] } : null;
}

/** The token in an address that `zoning serve` printed; null without one. */
export const tokenIn = (address) => new URLSearchParams(address.hash.slice(1)).get("token");

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
