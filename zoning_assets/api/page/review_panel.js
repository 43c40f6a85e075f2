// The review queue: what a person must decide. Reading is open; a decision needs a name and a token of scope review.

import { get, keepToken, post, segment, token } from "./api.js";
import { area, counted, day, element, empty, outerLink, percent, plainNumber, timeElement, title } from "./dom.js";
import { isOfParcels, kindLabel } from "./kinds.js";

const PERSON = "zoning-person";

export async function listReviews(state, app, signal) {
  const found = await get("reviews", { jurisdiction: state.jurisdiction }, signal);
  const { reviews: changes, questions: amendments } = found;
  const total = changes.length;
  let open = total;
  const heading = title(`${counted(open, "decision")} to make`);
  const decided = (text) => {
    open -= 1;
    heading.textContent = `${counted(open, "decision")} to make`;
    heading.focus();
    app.announce(text);
    app.reviewed();
  };
  const who = signature();
  const list = element(
    "ul",
    { class: "reviews" },
    changes.map((each) => reviewElement(each, who, decided, app)),
  );
  return {
    name: `Review: ${counted(total, "decision")}`,
    nodes: [
      heading,
      element(
        "p",
        { class: "note" },
        "Changes that the rules are not sure of. Accept what is a change; dismiss what is not. ",
        "Your name goes into the audit. The token is the one that zoning serve prints.",
      ),
      total > 0 && who.form,
      total > 0 ? list : empty("Nothing waits for a decision."),
      amendments.length > 0 && amendmentsElement(amendments),
    ],
  };
}

/** Who decides. The token stays in this tab and is forgotten with it. */
function signature() {
  const person = element("input", { name: "person", autocomplete: "name", maxlength: 100, required: true });
  person.value = sessionStorage.getItem(PERSON) ?? "";
  const secret = element("input", { name: "token", type: "password", autocomplete: "off" });
  secret.value = token() ?? "";
  person.addEventListener("change", () => sessionStorage.setItem(PERSON, person.value.trim()));
  secret.addEventListener("change", () => keepToken(secret.value));
  const form = element(
    "form",
    { class: "signature", onsubmit: (event) => event.preventDefault() },
    element("label", {}, "Your name ", person),
    element("label", {}, "Token ", secret),
  );
  return { form, person };
}

function reviewElement(change, who, decided, app) {
  const problem = element("p", { class: "failure", role: "alert", hidden: true });
  const item = element("li", {});
  const decide = (action, done) => async () => {
    const person = who.person.value.trim();
    if (!person) {
      problem.textContent = "Write your name first: it goes into the audit.";
      problem.hidden = false;
      who.person.focus();
      return;
    }
    buttons.forEach((each) => {
      each.disabled = true;
    });
    try {
      await post(`reviews/${segment(change.id)}`, { action, person });
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
      buttons.forEach((each) => {
        each.disabled = false;
      });
      return;
    }
    item.replaceChildren(element("p", { class: "done" }, `${done}: ${label}`));
    decided(`${done}: ${label}`);
  };
  const label = `${kindLabel(change.kind)} ${(change.parcel_ids ?? []).slice(0, 3).join(", ")}`;
  const buttons = [
    ["accept", "Accept", "Accepted"],
    ["dismiss", "Dismiss", "Dismissed"],
  ].map(([action, text, done]) =>
    element(
      "button",
      {
        type: "button",
        "aria-label": `${text}: ${label}`,
        class: action === "accept" ? "primary" : null,
        onclick: decide(action, done),
      },
      text,
    ),
  );
  item.append(
    element(
      "p",
      {},
      element("a", { href: app.href({ change: change.id, view: "review" }), "data-change": change.id }, label),
      isOfParcels(change.kind) ? null : ` ${change.old ?? "none"} → ${change.new ?? "none"}`,
    ),
    element(
      "p",
      { class: "note" },
      [
        `confidence ${plainNumber(change.confidence)}`,
        change.area_m2 ? area(change.area_m2) : null,
        change.share ? `${percent(change.share)} of the lot` : null,
      ]
        .filter(Boolean)
        .join(" · "),
      " · noticed ",
      timeElement(change.detected, day),
    ),
    problem,
    element("p", { class: "actions" }, buttons),
  );
  return item;
}

function amendmentsElement(amendments) {
  return element(
    "section",
    {},
    element("h3", {}, "Ordinances with questions"),
    element(
      "ul",
      { class: "reviews" },
      amendments.map((each) => {
        const numbers = [...(each.ordinance_numbers ?? []), ...(each.case_numbers ?? [])].join(", ") || each.id;
        return element(
          "li",
          {},
          element("p", {}, outerLink(each.source, numbers) ?? numbers, ` (${each.status})`),
          element(
            "ul",
            { class: "lines" },
            (each.questions ?? []).map((question) => element("li", {}, String(question))),
          ),
        );
      }),
    ),
  );
}
