// Requests to the server of this page. Nothing is requested elsewhere, except tiles of the one tile source that the
// operator may set.

const TOKEN = "zoning-token";

export const token = () => sessionStorage.getItem(TOKEN);
export const keepToken = (text) => sessionStorage.setItem(TOKEN, text.trim());

/** The header with the token; empty without one. */
export const authorization = () => (token() ? { Authorization: `Bearer ${token()}` } : {});

let askForToken = () => {};
/** Who asks the person for a token when the server wants one. */
export const onTokenNeeded = (ask) => {
  askForToken = ask;
};

/** The JSON of a path below /api. Throws an Error whose message is a sentence for a person. */
export async function get(path, values = {}, signal = undefined) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(given).toString();
  return answer(`/api/${path}${query ? `?${query}` : ""}`, { headers: authorization(), signal });
}

export async function post(path, body) {
  const headers = { ...authorization(), "Content-Type": "application/json" };
  return answer(`/api/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
}

async function answer(address, options) {
  let response;
  try {
    response = await fetch(address, { ...options, credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is zoning serve running?");
  }
  if (response.status === 401 && !options.method) askForToken();
  if (!response.ok) throw new Error(await sentence(response));
  return response.json();
}

async function sentence(response) {
  const known = await response.json().catch(() => ({}));
  const detail = Array.isArray(known.detail) ? known.detail.map((each) => each.msg).join("; ") : known.detail;
  return typeof detail === "string" ? detail : `The server answered with status ${response.status}.`;
}

/** Whether the server has a collection of the OGC API. */
export async function hasCollection(id) {
  const response = await fetch(`/collections/${id}`, { headers: { ...authorization(), Accept: "application/json" } });
  return response.ok;
}

/** The boxes of the newest changes of a jurisdiction, as GeoJSON geometries. */
export async function changedShapes(jurisdiction) {
  const query = new URLSearchParams({
    jurisdiction,
    limit: 200,
    sortby: "-detected",
    "bbox-only": true,
    properties: "id",
    f: "geojson",
  });
  const found = await answer(`/collections/zoning.change_feature/items?${query}`, { headers: authorization() });
  return found.features.map((each) => each.geometry);
}

/** The address of a collection's vector tiles, with {z}, {x} and {y}. */
export function tiles(collection, values) {
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value));
  return `${location.origin}/collections/${collection}/tiles/WebMercatorQuad/{z}/{x}/{y}?${query}`;
}

/** One segment of a path. Parcel ids may contain anything. */
export const segment = (text) => encodeURIComponent(text);
