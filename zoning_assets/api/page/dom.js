// Elements, texts and formats. All text goes into text nodes: markup in the data has no effect.

/** Characters that change the direction of reading, and control characters, are shown as a replacement character. */
export const plain = (text) =>
  String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

/** An element. `attributes`: names with a value; `on...` are listeners; null and false leave one out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  const shown = children.flat(2).filter((child) => child !== null && child !== undefined && child !== false);
  made.append(...shown.map((child) => (child instanceof Node ? child : plain(child))));
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Tell a screen reader what happened. */
export function announce(text) {
  byId("announce").textContent = plain(text);
}

/** A link to another site or program; only http and https. Otherwise null. */
export function outerLink(address, text) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return null;
  return element("a", { href: url.href, target: "_blank", rel: "noopener noreferrer" }, text);
}

const COLOR = /^#[0-9a-f]{6}$/i;
export const NO_COLOR = "#9a9a9a";
export const safeColor = (color) => (COLOR.test(color ?? "") ? color : NO_COLOR);

/** A square of a colour. It carries no information of its own: the text beside it does. */
export function swatch(color) {
  const made = element("i", { class: "swatch", "aria-hidden": "true" });
  made.style.backgroundColor = safeColor(color);
  return made;
}

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const FINE = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
const PERCENT = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const DAY = new Intl.DateTimeFormat("en", { dateStyle: "medium" });
const TIME = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

export const count = (number) => NUMBER.format(number ?? 0);
export const percent = (share) => PERCENT.format(share);
export const counted = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
export const area = (m2) => (m2 >= 100_000 ? `${FINE.format(Math.round(m2 / 100) / 100)} ha` : `${count(m2)} m²`);
export const plainNumber = (number) => FINE.format(number);

/** A day (`2023-12-15`) or a time (ISO 8601 with zone) as text in the time zone of the reader. */
export function when(iso, format = iso?.length > 10 ? TIME : DAY) {
  const date = new Date(iso?.length > 10 ? iso : `${iso}T00:00:00`);
  return Number.isNaN(date.valueOf()) ? String(iso) : format.format(date);
}

export const day = (iso) => when(iso, DAY);

/** A <time> with the exact value for machines and on hover. */
export const timeElement = (iso, format = when) => element("time", { datetime: iso, title: iso }, format(iso));

/** A list of facts: pairs of a name and a text, an element, or null, which leaves the fact out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element(
    "dl",
    { class: "facts" },
    shown.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
  );
}

/** The heading of a view, which takes the focus when the view opens. */
export const title = (...children) => element("h2", { class: "title", tabindex: "-1" }, ...children);

export const empty = (text) => element("p", { class: "empty" }, text);
export const failure = (error) => element("p", { class: "failure", role: "alert" }, error.message);
