// Before and after: the slider over the releases, and the border between two maps that can be dragged.

import { byId, count, when } from "./dom.js";

/** The map `before` lies over the map `after`, cut at the divider; both show the same place. Returns what places the
 * divider when the comparison begins: in the middle of what the legend leaves free. */
export function startDivider(before, after) {
  const [divider, stage] = [byId("divider"), byId("stage")];
  let at = null; // percent of the width
  const legend = byId("legend");
  const usual = () => (legend.open ? (100 * (1 + legend.offsetWidth / stage.clientWidth)) / 2 : 50);
  const place = (percent) => {
    at = Math.min(98, Math.max(2, percent));
    divider.style.left = `${at}%`;
    byId("before").style.clipPath = `inset(0 ${100 - at}% 0 0)`;
    byId("before-label").style.right = `calc(${100 - at}% + 1.5rem)`;
    byId("after-label").style.left = `calc(${at}% + 1.5rem)`;
    divider.setAttribute("aria-valuenow", String(Math.round(at)));
    divider.setAttribute("aria-valuetext", `${Math.round(at)}% of the map shows the older release`);
  };
  divider.addEventListener("pointerdown", (event) => {
    divider.setPointerCapture(event.pointerId);
    divider.focus();
    event.preventDefault();
  });
  divider.addEventListener("pointermove", (event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const box = stage.getBoundingClientRect();
    place(((event.clientX - box.left) / box.width) * 100);
  });
  divider.addEventListener("keydown", ({ key }) => {
    const moves = {
      ArrowLeft: -2,
      ArrowDown: -2,
      ArrowRight: 2,
      ArrowUp: 2,
      PageDown: -20,
      PageUp: 20,
      Home: -100,
      End: 100,
    };
    if (key in moves) place(at + moves[key]);
  });
  follow(before, after);
  follow(after, before);
  return () => {
    if (at === null) place(usual());
  };
}

let isFollowing = false;

function follow(leader, follower) {
  leader.on("move", () => {
    if (isFollowing) return;
    isFollowing = true;
    follower.jumpTo({ center: leader.getCenter(), zoom: leader.getZoom() });
    isFollowing = false;
  });
}

/** `choose({time, compare})`: the release that the person wants to see; time null: now. */
export function startTimeline(releases, choose) {
  const [slider, box] = [byId("release"), byId("compare")];
  const chosen = () => releases()[Number(slider.value)];
  const isNow = () => !box.checked && Number(slider.value) === releases().length - 1;
  slider.addEventListener("input", () => {
    byId("release-label").textContent = label(chosen(), isNow());
  });
  slider.addEventListener("change", () =>
    choose({ time: isNow() ? null : chosen().time, compare: box.checked ? "1" : null }),
  );
  box.addEventListener("change", () => {
    const older = releases()[Math.min(Number(slider.value), releases().length - 2)];
    choose(box.checked ? { compare: "1", time: older.time } : { compare: null, time: null });
  });
}

/** Show which releases exist, and which one is on the map. */
export function showTimeline(releases, { time, compare }, isPossible) {
  byId("time").hidden = !isPossible || releases.length < 2;
  if (byId("time").hidden) return;
  const slider = byId("release");
  const index = time ? nearest(releases, time) : releases.length - 1;
  slider.max = String(releases.length - (compare ? 2 : 1));
  slider.value = String(index);
  byId("compare").checked = Boolean(compare);
  const isNow = index === releases.length - 1;
  slider.setAttribute("aria-valuetext", label(releases[index], isNow));
  byId("release-label").textContent = label(releases[index], isNow);
  byId("before-label").textContent = `Before: ${when(releases[index].time)}`;
}

function nearest(releases, time) {
  const later = releases.findIndex((each) => Date.parse(each.time) > Date.parse(time));
  return later < 0 ? releases.length - 1 : Math.max(0, later - 1);
}

function label(release, isNow) {
  const changes = release.changes ? `, ${count(release.changes)} changes` : "";
  return `${isNow ? "Now: " : ""}${when(release.time)}${changes}`;
}
