// The segments, a cell each; where there are very many, a cell for several.

import { get } from "./api.js";
import { $, bytes, count, facts, make, moment } from "./dom.js";

const CELLS = 600;
const MOST = 50000;

let cells = [];
let chosen = null;
let drawn = "";
let show = () => {};

export function begin(showRecords) {
  show = showRecords;
  const map = $("map");
  map.addEventListener("click", (event) => {
    const cell = event.target.closest(".cell");
    if (cell) choose(Number(cell.dataset.at));
  });
  map.addEventListener("keydown", (event) => {
    const at = chosen === null ? -1 : cells.findIndex((cell) => cell.key === chosen);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: cells.length - 1 }[event.key];
    if (to !== undefined && cells[to]) {
      choose(to);
      event.preventDefault();
    }
  });
  $("map-by").addEventListener("change", () => draw(true));
}

export async function update() {
  const all = [];
  let from = 0;
  let page;
  do {
    page = await get("segments", { from, limit: 10000 });
    all.push(...page.segments);
    from = page.next;
  } while (from !== null && all.length < MOST);
  const each = Math.ceil(all.length / CELLS) || 1;
  cells = [];
  for (let at = 0; at < all.length; at += each) {
    cells.push(joined(all.slice(at, at + each)));
  }
  draw(false);
  return page.problem;
}

/// Several segments as one.
function joined(segments) {
  const [first, last] = [segments[0], segments.at(-1)];
  const sum = (of) => segments.reduce((total, segment) => total + of(segment), 0);
  const counted = segments.every((segment) => segment.records !== null);
  return {
    key: first.ordinal,
    several: segments.length > 1 ? segments.length : 0,
    name: segments.length > 1 ? `${first.file} to ${last.file}` : first.file,
    bytes: sum((segment) => segment.bytes),
    biggest: Math.max(...segments.map((segment) => segment.bytes)),
    first: segments.find((segment) => segment.first_seq)?.first_seq,
    last: segments.findLast((segment) => segment.last_seq)?.last_seq,
    open: segments.some((segment) => !segment.sealed),
    active: segments.some((segment) => segment.active),
    mark: segments.find((segment) => segment.mark !== null)?.mark,
    records: counted ? sum((segment) => segment.records) : null,
    compressed: counted ? sum((segment) => segment.compressed) : null,
    since: first.first_append_ms,
    appended: last.last_append_ms,
    index: segments.length === 1 ? first.index : null,
    damage: sum((segment) => segment.damage),
    torn: sum((segment) => segment.torn),
  };
}

function state(cell) {
  if (cell.damage) return "damaged";
  if (cell.active) return "open, written to now";
  return cell.open ? "open" : "complete";
}

const seqs = (cell) => (cell.first ? `${count(BigInt(cell.first))} to ${count(BigInt(cell.last))}` : "none");

/// How strong a cell's colour is, by what was chosen to colour by.
function strength(cell, by, oldest, newest) {
  if (by === "age") {
    return newest > oldest && cell.appended ? 0.25 + 0.75 * ((cell.appended - oldest) / (newest - oldest)) : 1;
  }
  if (by === "compression") {
    return cell.records ? 0.2 + 0.8 * (cell.compressed / cell.records) : 0.2;
  }
  return 1;
}

function draw(anew) {
  const by = $("map-by").value;
  const picture = JSON.stringify([by, cells]);
  if (!anew && picture === drawn) {
    return;
  }
  drawn = picture;
  const map = $("map");
  const most = Math.max(1, ...cells.map((cell) => cell.biggest));
  const times = cells.map((cell) => cell.appended).filter(Boolean);
  const [oldest, newest] = [Math.min(...times), Math.max(...times)];
  const made = cells.map((cell, at) => {
    const fill = make("i");
    fill.style.height = `${Math.max(3, Math.round((26 * cell.biggest) / most))}px`;
    fill.style.opacity = String(cell.damage ? 1 : strength(cell, by, oldest, newest));
    const kind = `cell${cell.open ? " open" : ""}${cell.damage ? " hurt" : ""}${cell.mark === undefined ? "" : " mark"}`;
    const label = `${cell.name}: seq ids ${seqs(cell)}, ${bytes(cell.bytes)}, ${state(cell)}`;
    return make(
      "div",
      { class: kind, id: `cell-${at}`, role: "option", "aria-selected": String(cell.key === chosen), "aria-label": label, title: label, "data-at": at },
      fill,
    );
  });
  map.replaceChildren(...(made.length ? made : [make("div", { role: "option", "aria-selected": "false", class: "hint" }, "none")]));
  legend(by);
  const at = cells.findIndex((cell) => cell.key === chosen);
  if (at >= 0) {
    map.setAttribute("aria-activedescendant", `cell-${at}`);
    tell(cells[at]);
  }
}

function legend(by) {
  const entry = (kind, words) => make("li", {}, make("i", { class: kind }), words);
  const height = "height: size";
  const strong = { state: height, age: `${height}; stronger: newer`, compression: `${height}; stronger: more of it compressed, once checked` };
  const list = [entry("", "complete"), entry("open", "open"), entry("hurt", "damaged"), entry("under", "durable up to here")];
  $("map-legend").replaceChildren(...list, make("li", {}, strong[by]));
}

function choose(at) {
  chosen = cells[at].key;
  for (const [i, cell] of [...$("map").children].entries()) {
    cell.setAttribute("aria-selected", String(i === at));
  }
  $("map").setAttribute("aria-activedescendant", `cell-${at}`);
  $(`cell-${at}`).scrollIntoView({ block: "nearest" });
  tell(cells[at]);
}

function tell(cell) {
  const share = cell.records ? `, ${Math.round((100 * cell.compressed) / cell.records)} % compressed` : "";
  const batches = cell.records && BigInt(cell.last) - BigInt(cell.first) >= cell.records ? "; a batch is one" : "";
  const rows = [
    [cell.several ? "Segments" : "Segment", cell.several ? `${cell.several}: ${cell.name}` : cell.name],
    ["Seq ids", seqs(cell)],
    ["Size", bytes(cell.bytes)],
    ["Records", cell.records === null ? "counted by a check" : count(cell.records) + share + batches],
    ["State", cell.damage ? make("span", { class: "bad" }, `damaged in ${count(cell.damage)} ${cell.damage === 1 ? "place" : "places"}`) : state(cell)],
    ["Torn", cell.torn ? "at its end" : null],
    ["Durable", cell.mark === undefined ? null : `up to byte ${count(cell.mark)} by the last mark`],
    ["Begun", moment(cell.since)],
    ["Last entry", moment(cell.appended)],
    ["Index", cell.index],
  ];
  const list = facts(rows);
  const box = $("segment");
  const before = box.querySelector("button");
  const button = before ?? make("button", { type: "button" }, "Show its records");
  button.onclick = () => show(cell.first);
  button.disabled = !cell.first;
  if (before) {
    // The button stays, so that who stands on it stays there.
    box.querySelector("dl").replaceWith(list);
  } else {
    box.replaceChildren(list, make("div", { class: "group" }, button));
  }
}
