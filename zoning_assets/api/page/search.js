// Search by parcel id or address: a combobox as the ARIA practices describe it.

import { get } from "./api.js";
import { announce, byId, counted, element } from "./dom.js";

const PAUSE_MS = 180; // after the last key
const MOST = 12;

/** `jurisdiction()`: where to search. `open(result)`: the person chose a parcel. */
export function startSearch(jurisdiction, open) {
  const [input, list] = [byId("search"), byId("search-results")];
  let results = [];
  let active = -1;
  let timer = 0;
  let request = new AbortController();

  const close = () => {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const mark = (index) => {
    active = index;
    [...list.children].forEach((each, at) => each.setAttribute("aria-selected", String(at === index)));
    input.setAttribute("aria-activedescendant", `search-result-${index}`);
    list.children[index]?.scrollIntoView({ block: "nearest" });
  };
  const choose = (index) => {
    const result = results[index];
    if (!result) return;
    close();
    input.value = result.parcel_id;
    open(result);
  };
  const option = (result, index) =>
    element(
      "li",
      {
        role: "option",
        id: `search-result-${index}`,
        "aria-selected": "false",
        onpointerdown: (event) => {
          event.preventDefault();
          choose(index);
        },
      },
      element("span", { class: "main" }, result.parcel_id),
      element("span", { class: "note" }, [result.address, result.zoning_code].filter(Boolean).join(" · ")),
    );

  const ask = async () => {
    request.abort();
    request = new AbortController();
    const q = input.value.trim();
    if (!q) return close();
    let found;
    try {
      found = await get("search", { q, jurisdiction: jurisdiction(), limit: MOST }, request.signal);
    } catch (error) {
      if (error.name !== "AbortError") announce(error.message);
      return undefined;
    }
    results = found.results;
    list.replaceChildren(...results.map(option));
    if (!results.length)
      list.append(
        element("li", { role: "option", "aria-disabled": "true", "aria-selected": "false" }, "No parcel was found"),
      );
    list.hidden = false;
    active = -1;
    input.setAttribute("aria-expanded", "true");
    announce(results.length ? `${counted(results.length, "parcel")} found` : "No parcel was found");
    return undefined;
  };

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE_MS);
  });
  input.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in moves && results.length && !list.hidden) {
      event.preventDefault();
      mark((active + moves[event.key] + results.length) % results.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (list.hidden) ask();
      else choose(Math.max(active, 0));
    } else if (event.key === "Escape") close();
  });
  input.addEventListener("blur", close);
}
