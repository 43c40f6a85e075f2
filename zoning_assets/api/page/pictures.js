// Patterns and labels of the map, drawn here: a style with text would request fonts from a server.

import { plain } from "./dom.js";
import { inks } from "./style.js";

const SCALE = 2; // pixels per CSS pixel
const LONGEST = 48; // characters of a label

/** The picture of an id in the style (`hatch:light`, `label:dark:R-1`); null if it is not one of ours. */
export function picture(id) {
  const [kind, scheme, ...rest] = id.split(":");
  const ink = inks(scheme === "dark");
  if (kind === "hatch") return pattern((at) => hatch(at, ink));
  if (kind === "dots") return pattern((at) => dots(at, ink));
  const text = rest.join(":");
  if (kind === "label") return label(text, ink.ink, ink.ground, 500);
  if (kind === "change") return label(text, ink.casing, ink.accent, 600);
  return null;
}

function canvas(width, height) {
  const made = document.createElement("canvas");
  made.width = Math.ceil(width * SCALE);
  made.height = Math.ceil(height * SCALE);
  const at = made.getContext("2d", { willReadFrequently: true });
  at.scale(SCALE, SCALE);
  return at;
}

const STEP = 11; // CSS pixels from line to line of a pattern

const pixels = (at) => at.getImageData(0, 0, at.canvas.width, at.canvas.height);
export const pixelRatio = SCALE;

function pattern(draw) {
  const at = canvas(STEP, STEP);
  draw(at);
  return pixels(at);
}

function hatch(at, ink) {
  for (const [color, width, alpha] of [
    [ink.casing, 2.6, 0.5],
    [ink.ink, 1.2, 0.9],
  ]) {
    at.strokeStyle = color;
    at.globalAlpha = alpha;
    at.lineWidth = width;
    for (const shift of [-STEP, 0, STEP]) {
      at.beginPath();
      at.moveTo(shift - 2, STEP + 2);
      at.lineTo(shift + STEP + 2, -2);
      at.stroke();
    }
  }
}

function dots(at, ink) {
  for (const [color, radius] of [
    [ink.casing, 2.2],
    [ink.ink, 1.3],
  ]) {
    at.fillStyle = color;
    at.beginPath();
    at.arc(STEP / 2, STEP / 2, radius, 0, 7);
    at.fill();
  }
}

function label(text, ink, ground, weight) {
  const shown = visible(text);
  if (!shown) return pixels(canvas(1, 1));
  const font = `${weight} 12px system-ui, sans-serif`;
  const measure = canvas(1, 1);
  measure.font = font;
  const width = measure.measureText(shown).width + 10;
  const at = canvas(width, 18);
  at.fillStyle = ground;
  at.globalAlpha = 0.9;
  at.beginPath();
  at.roundRect(0, 0, width, 18, 4);
  at.fill();
  at.globalAlpha = 1;
  at.fillStyle = ink;
  at.font = font;
  at.textBaseline = "middle";
  at.fillText(shown, 5, 9.5);
  return pixels(at);
}

function visible(text) {
  const clean = plain(text).trim();
  return clean.length > LONGEST ? `${clean.slice(0, LONGEST - 1)}…` : clean;
}
