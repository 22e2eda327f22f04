// Records: a page at a time, searched, or followed as they come.

import { get } from "./api.js";
import { asHexDump, asHexLine, asJson, asText, decode } from "./bytes.js";
import { $, count, make, text } from "./dom.js";

const PAGE = 100;
const FOLLOWED = 500;
const PIECE = 64 * 1024;

let view = "text";
// What is shown: entries with their bytes, and notes between them.
let rows = [];
// Where the page before and after begin; null where there is none.
let edges = { older: null, newer: null };
let log = { first: 1n, next: 1n };
let search = null;
let source = null;
let running = null;
let detail = null;

export function begin() {
  $("first").onclick = () => list({ from: log.first });
  $("last").onclick = () => list({ before: log.next });
  $("older").onclick = () => turn("older");
  $("newer").onclick = () => turn("newer");
  $("follow").onclick = () => (source ? unfollow() : follow());
  $("search-stop").onclick = () => running?.abort();
  $("detail-close").onclick = closeDetail;
  $("detail-more").onclick = () => open(detail.seq, detail.at + PIECE);
  $("place").addEventListener("change", (event) => {
    const all = log.next - log.first;
    list({ from: log.first + (all * BigInt(event.target.value)) / 1000n });
  });
  for (const button of document.querySelectorAll(".view")) {
    button.onclick = () => look(button.dataset.view);
  }
  form("jump", () => {
    const seq = $("seq").value.trim();
    if (/^\d{1,20}$/.test(seq)) list({ from: BigInt(seq) }, true);
    else say("a seq id is a whole number");
  });
  form("when", async () => {
    const at = new Date($("time").value).getTime();
    if (!(at >= 0)) return say("a date and a time are needed");
    const { seq } = await get("seek", { time_ms: at });
    await list({ from: BigInt(seq) }, true);
  });
  form("search", () => find($("needle").value, $("search-as").value));
  $("rows").addEventListener("keydown", (event) => {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    let row = step && event.target.closest("tr");
    while (row && (row = row[step]) && !row.querySelector("button"));
    if (row) {
      row.querySelector("button").focus();
      event.preventDefault();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && detail) closeDetail();
  });
  return list({ before: (1n << 64n) - 1n });
}

function form(id, submit) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    Promise.resolve(submit()).catch(failed);
  });
}

const say = (words) => text($("note"), words);
const failed = (error) => error.name !== "AbortError" && say(error.message);

/// What is known of the log's bounds.
export function bounds(first, next) {
  log = { first: BigInt(first), next: BigInt(next) };
}

/// Shows the records from a seq id on.
export const from = (seq) => list({ from: BigInt(seq) }, true);

function turn(to) {
  if (edges[to] === null) return;
  const where = to === "newer" ? { from: edges.newer } : { before: edges.older };
  if (search) seek(where).catch(failed);
  else list(where);
}

async function list(where, chosen) {
  unfollow();
  search = null;
  try {
    let page = await get("entries", { ...where, limit: PAGE });
    bounds(page.first_seq, page.next_seq);
    // Less than a page in front of the end, or behind the beginning: it is filled from the other side.
    const short = page.entries.length && page.entries.length < PAGE && page.next === null && !page.problem;
    if (short && where.before !== undefined) {
      page = await get("entries", { from: log.first, limit: PAGE });
    }
    take(page, where);
    show();
    if (chosen) $("scroll").scrollTop = 0;
    else if (where.before !== undefined) $("scroll").scrollTop = $("scroll").scrollHeight;
    const last = rows.findLast((row) => row.entry);
    const head = rows.find((row) => row.entry);
    say(head ? `${count(BigInt(head.entry.seq))} to ${count(BigInt(last.entry.seq))} of ${count(log.next - log.first)}` : "no entries here");
  } catch (error) {
    failed(error);
  }
}

const entryRow = (entry) => ({ entry, bytes: decode(entry.payload) });

function take(page, where) {
  const backward = where.before !== undefined && (page.next === null || BigInt(page.next) <= BigInt(where.before));
  rows = page.entries.map(entryRow);
  const first = page.entries[0] && BigInt(page.entries[0].seq);
  const last = page.entries.at(-1) && BigInt(page.entries.at(-1).seq);
  edges = { older: null, newer: null };
  if (page.problem) {
    const row = { problem: page.problem };
    if (backward) rows.unshift(row);
    else rows.push(row);
  }
  const resume = page.problem && (page.problem.resume === null ? null : BigInt(page.problem.resume));
  const on = page.problem ? resume : page.next === null ? null : BigInt(page.next);
  if (backward) {
    edges.older = on;
    edges.newer = last !== undefined && last + 1n < log.next ? last + 1n : where.before < log.next ? BigInt(where.before) : null;
  } else {
    edges.newer = on ?? (last !== undefined && last + 1n < log.next && !page.problem ? last + 1n : null);
    const start = first ?? BigInt(where.from ?? 0);
    edges.older = start > log.first ? start : null;
  }
}

async function find(needle, as) {
  if (!needle) return list({ before: log.next });
  const parameters = as === "hex" ? { hex: needle } : { text: needle, case: as === "ignore" ? "ignore" : "exact" };
  const length = as === "hex" ? needle.replaceAll(/\s/g, "").length / 2 : new TextEncoder().encode(needle).length;
  search = { parameters, length };
  await seek({ from: log.first });
}

/// Searches until a page is full, the log is at its end, or it is stopped: a request does a bounded part of it.
async function seek(where) {
  unfollow();
  running?.abort();
  const abort = new AbortController();
  running = abort;
  $("search-stop").hidden = false;
  rows = [];
  const backward = where.before !== undefined;
  let scanned = 0n;
  let on = backward ? where.before : where.from;
  try {
    for (;;) {
      const limit = PAGE - rows.length;
      const place = backward ? { before: on } : { from: on };
      const page = await get("search", { ...search.parameters, ...place, limit }, abort.signal);
      bounds(page.first_seq, page.next_seq);
      scanned += BigInt(page.scanned);
      const found = page.entries.map(entryRow);
      const told = page.problem ? [{ problem: page.problem }] : [];
      rows = backward ? [...told, ...found, ...rows] : [...rows, ...found, ...told];
      const next = page.problem ? page.problem.resume : page.next;
      on = next === null ? null : BigInt(next);
      edges = backward ? { older: on, newer: BigInt(where.before) } : { older: where.from > log.first ? BigInt(where.from) : null, newer: on };
      show();
      const matches = rows.filter((row) => row.entry).length;
      const rest = on === null ? "the end is reached" : `${backward ? "older" : "newer"} ones go on at ${count(on)}`;
      say(`${count(matches)} found in ${count(scanned)} entries; ${rest}`);
      if (on === null || matches >= PAGE) break;
    }
  } finally {
    if (running === abort) {
      running = null;
      $("search-stop").hidden = true;
    }
  }
}

function follow() {
  search = null;
  running?.abort();
  rows = [];
  edges = { older: log.next > log.first ? log.next : null, newer: null };
  source = new EventSource("/api/v1/follow");
  const on = (name, then) => source.addEventListener(name, (event) => then(JSON.parse(event.data)));
  on("entries", (news) => {
    bounds(log.first, news.next_seq);
    add(news.entries.map(entryRow));
  });
  on("skipped", ({ from, to }) => add([{ told: `${count(BigInt(to) - BigInt(from))} entries came too fast to be shown` }]));
  on("truncated", ({ at }) => add([{ told: `the entries from ${at} on were cut from the log` }]));
  on("problem", (problem) => {
    add([{ problem }]);
    unfollow();
  });
  $("follow").setAttribute("aria-pressed", "true");
  say("following: entries are shown as they come");
  show();
}

function unfollow() {
  if (!source) return;
  source.close();
  source = null;
  $("follow").setAttribute("aria-pressed", "false");
  say("no longer following");
  const [first, last] = [rows.find((row) => row.entry), rows.findLast((row) => row.entry)];
  edges.older = first ? BigInt(first.entry.seq) : edges.older;
  edges.newer = last ? BigInt(last.entry.seq) + 1n : null;
  buttons();
}

function add(more) {
  const scroll = $("scroll");
  const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40;
  rows.push(...more);
  const body = $("rows");
  if (body.querySelector(".told.empty")) body.replaceChildren();
  body.append(...more.map(rowElement));
  while (rows.length > FOLLOWED) {
    rows.shift();
    body.firstElementChild.remove();
  }
  if (atEnd) scroll.scrollTop = scroll.scrollHeight;
}

function show() {
  const made = rows.map(rowElement);
  if (!made.length) {
    const words = source ? "waiting for entries" : search ? "nothing found so far" : "no entries here";
    made.push(make("tr", { class: "told empty" }, make("td", { colspan: 3 }, words)));
  }
  $("rows").replaceChildren(...made);
  const first = rows.find((row) => row.entry);
  const all = log.next - log.first;
  if (first && all > 0n) {
    $("place").value = String(((BigInt(first.entry.seq) - log.first) * 1000n) / all);
  }
  buttons();
}

function buttons() {
  $("older").disabled = edges.older === null;
  $("newer").disabled = edges.newer === null;
  $("place").setAttribute("aria-valuetext", rows[0]?.entry ? `seq id ${rows[0].entry.seq}` : "no entry");
}

function rowElement(row) {
  if (row.told) {
    return make("tr", { class: "told" }, make("td", { colspan: 3 }, row.told));
  }
  if (row.problem) {
    const on = row.problem.resume ? `. Reading can go on at ${row.problem.resume}` : "";
    return make("tr", { class: "problem" }, make("td", { colspan: 3 }, `${row.problem.message}${on}`));
  }
  const { entry, bytes } = row;
  const button = make("button", { type: "button", class: "seq", "aria-label": `Entry ${entry.seq}`, onclick: () => open(entry.seq, 0) }, entry.seq);
  return make(
    "tr",
    { class: detail?.seq === entry.seq ? "chosen" : "", "data-seq": entry.seq },
    make("td", { class: "number" }, button),
    make("td", { class: "number" }, count(entry.len)),
    make("td", { class: "payload" }, make("div", {}, preview(entry, bytes))),
  );
}

function preview(entry, bytes) {
  let mark = null;
  if (entry.found !== null && search) {
    const at = entry.found - entry.at;
    mark = [at, Math.min(bytes.length, at + search.length)];
  }
  const shown = view === "hex" ? asHexLine(bytes, mark) : asText(bytes, false, mark);
  const fragment = document.createDocumentFragment();
  fragment.append(entry.at > 0 ? "… " : "", shown, entry.at + bytes.length < entry.len ? " …" : "");
  return fragment;
}

function look(as) {
  view = as;
  for (const button of document.querySelectorAll(".view")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === as));
  }
  const top = $("scroll").scrollTop;
  show();
  $("scroll").scrollTop = top;
  if (detail) fill();
}

async function open(seq, at) {
  try {
    const entry = await get(`entries/${seq}`, { offset: at, len: PIECE });
    const before = detail?.seq;
    detail = { ...entry, bytes: decode(entry.payload) };
    for (const row of $("rows").children) {
      if (row.dataset.seq === before || row.dataset.seq === seq) {
        row.classList.toggle("chosen", row.dataset.seq === seq);
      }
    }
    fill();
    $("detail").hidden = false;
    if (before === undefined) $("detail").scrollIntoView({ block: "nearest" });
  } catch (error) {
    failed(error);
  }
}

function closeDetail() {
  const seq = detail?.seq;
  detail = null;
  $("detail").hidden = true;
  const row = [...$("rows").children].find((one) => one.dataset.seq === seq);
  if (row) {
    row.classList.remove("chosen");
    row.querySelector("button").focus({ preventScroll: true });
  }
}

function fill() {
  const { seq, len, at, bytes, utf8 } = detail;
  text($("detail-title"), `Entry ${count(BigInt(seq))}`);
  const end = at + bytes.length;
  const part = bytes.length < len ? `, bytes ${count(at)} to ${count(end)} shown` : "";
  const pre = $("payload");
  pre.className = view === "hex" ? "hex" : "";
  let kind = utf8 ? "UTF-8" : "not UTF-8";
  if (view === "hex") {
    pre.replaceChildren(asHexDump(bytes, at, window.matchMedia("(max-width: 40rem)").matches ? 8 : 16));
  } else {
    const laid = view === "json" && at === 0 && end === len ? asJson(bytes) : null;
    if (view === "json") kind = laid ? "JSON" : bytes.length < len ? "too long to be laid out as JSON" : "not JSON: shown as text";
    pre.replaceChildren(asText(laid ?? bytes, true, null));
  }
  text($("detail-note"), `${count(len)} bytes, ${kind}${part}`);
  $("detail-more").hidden = end >= len;
}
