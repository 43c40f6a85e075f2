// The kinds of changes: how they are called and grouped, in lists and on the map.

/** The groups, in the order of the filter. `isPlace`: the change has one place that is worth drawing. */
export const GROUPS = [
  { id: "zoning", label: "Zoning", kinds: ["rezoned", "partly_rezoned", "reverted", "reinstated", "zoned", "unzoned"] },
  {
    id: "facets",
    label: "Overlays, conditions, planned development",
    kinds: [
      "overlay_added",
      "overlay_removed",
      "overlay_changed",
      "condition_added",
      "condition_removed",
      "condition_changed",
      "pud_added",
      "pud_removed",
      "pud_changed",
    ],
  },
  {
    id: "parcel",
    label: "Parcels",
    kinds: ["split", "merged", "renumbered", "replatted", "adjusted", "reshaped", "added", "retired"],
  },
  { id: "names", label: "Names and drawing", kinds: ["recoded", "redrawn"] },
];

export const kindsOf = (...ids) => GROUPS.filter((each) => ids.includes(each.id)).flatMap((each) => each.kinds);

const PARCEL_KINDS = new Set(kindsOf("parcel"));
export const isOfParcels = (kind) => PARCEL_KINDS.has(kind);

const WORDS = {
  pud_added: "Planned development added",
  pud_removed: "Planned development removed",
  pud_changed: "Planned development changed",
  added: "Parcel added",
  retired: "Parcel retired",
};

/** `partly_rezoned` as a person reads it. */
export function kindLabel(kind) {
  const words = WORDS[kind] ?? String(kind).replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
