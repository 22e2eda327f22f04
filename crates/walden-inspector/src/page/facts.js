// What is known of the log besides its records: at a glance, cursors, recovery, checks.

import { get, post } from "./api.js";
import { $, ago, bytes, count, facts, make, moment, span, text } from "./dom.js";

export function begin() {
  $("check-start").onclick = async () => {
    await post("check");
    await check();
  };
}

function tile(name, value, more) {
  const small = more ? make("small", {}, ` ${more}`) : null;
  return [make("dt", {}, name), make("dd", {}, value, small)];
}

export function status(now) {
  text($("dir"), now.prefix === "segment" ? now.dir : `${now.dir} (${now.prefix})`);
  document.title = `${now.problem || now.damaged ? "! " : ""}${now.dir} · Walden`;
  const writer = now.writer?.pid ? (now.writer.lives ? `pid ${now.writer.pid}` : "none") : "none";
  const since = now.writer?.lives && now.writer.since_ms ? `since ${ago(now.writer.since_ms).replace(" ago", "")}` : "";
  const doubt = BigInt(now.in_doubt);
  const free = typeof now.free_space === "number" ? bytes(now.free_space) : "unknown";
  const tiles = [
    tile("Entries", count(BigInt(now.entries))),
    tile("Seq ids", BigInt(now.entries) > 0n ? `${count(BigInt(now.first_seq))} – ${count(BigInt(now.next_seq) - 1n)}` : "none"),
    tile("Known durable to", count(BigInt(now.durable_seq)), doubt > 0n ? `${count(doubt)} behind` : ""),
    tile("Size", bytes(now.bytes), `in ${count(now.segments)} ${now.segments === 1 ? "segment" : "segments"}`),
    tile("Writer", writer, since),
    tile("Free on the disk", free),
  ];
  const wanted = tiles.map((pair) => pair.map((part) => part.textContent).join()).join();
  if ($("tiles").dataset.shown !== wanted) {
    $("tiles").dataset.shown = wanted;
    $("tiles").replaceChildren(...tiles.map((pair) => make("div", {}, ...pair)));
  }
  state(now);
  text($("foot"), `walden ${now.version}. Read-only: nothing here takes the log's lock or changes a byte. Looking took ${span(now.took_us / 1000)}.`);
}

function state(now) {
  const element = $("state");
  const problem = now.problem?.message ?? now.manifest_problem;
  let words = "whole, by the last check";
  if (problem) words = "cannot be read";
  else if (now.checking) words = "being checked";
  else if (now.damaged) words = "damaged";
  else if (now.damaged === null) words = "readable, not checked yet";
  text(element, words);
  element.className = problem || now.damaged ? "state bad" : "state";
  const damage = now.damaged ? "The log is damaged: bytes that were durable are not what was written. See Check below." : null;
  alert(problem ?? damage);
}

export function alert(words) {
  $("alert").hidden = !words;
  text($("alert"), words ?? "");
}

function unreadable(part) {
  return make("p", { class: "bad" }, part.problem);
}

function table(names, rows) {
  const cells = (row) => row.map((cell, at) => make("td", { class: at ? "number" : "" }, cell));
  return make(
    "table",
    { class: "plain" },
    make("thead", {}, make("tr", {}, ...names.map((name, at) => make("th", { scope: "col", class: at ? "number" : "" }, name)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...cells(row)))),
  );
}

function put(id, ...elements) {
  const box = $(id);
  const wanted = elements.map((element) => element.textContent).join("\n");
  if (box.dataset.shown !== wanted) {
    box.dataset.shown = wanted;
    box.replaceChildren(...elements);
  }
}

export async function cursors() {
  const { cursors: all } = await get("cursors");
  if (!all || all.problem) return put("cursors", all ? unreadable(all) : make("p", { class: "hint" }, "not known"));
  if (!all.length) return put("cursors", make("p", { class: "hint" }, "There are none."));
  const rows = all.map((cursor) => [
    cursor.what ? make("span", { class: "bad" }, cursor.what) : cursor.name,
    count(BigInt(cursor.position)),
    count(BigInt(cursor.lag)),
    cursor.problem ? make("span", { class: "bad" }, cursor.problem) : "good",
  ]);
  put("cursors", table(["Cursor", "Next", "Behind", "State"], rows));
}

const place = (at) => (at ? `seq id ${count(BigInt(at.next_seq))}: segment ${at.ordinal}, byte ${count(at.offset)}` : null);

export async function recovery() {
  const { manifest, lock, quarantine } = await get("recovery");
  if (manifest?.problem) return put("recovery", unreadable(manifest));
  if (!manifest) return put("recovery", make("p", {}, "There is no manifest: a log of the Go library, which the first opening for writing adopts."));
  const range = ([a, b]) => (a === b ? count(BigInt(a)) : `${count(BigInt(a))} to ${count(BigInt(b))}`);
  const rows = [
    ["Last opened", moment(lock?.since_ms)],
    ["Known durable", place(manifest.mark ?? manifest.base)],
    ["In doubt from", place(manifest.doubt_from)],
    ["Cut under way", manifest.cut_from ? `from seq id ${count(BigInt(manifest.cut_from))} on` : null],
    ["Given up", manifest.losses.length ? manifest.losses.map(range).join(", ") : "nothing"],
    ["Histories", `${count(manifest.epochs.length)}, the last from seq id ${count(BigInt(manifest.epochs[0]?.first_seq ?? 1))}`],
    ["Log id", make("code", {}, manifest.log_id)],
    ["Metadata", manifest.meta.length ? manifest.meta.map((one) => `${JSON.stringify(one.key)} (${one.bytes} bytes)`).join(", ") : null],
  ];
  const kept = quarantine.problem
    ? unreadable(quarantine)
    : quarantine.length
      ? table(["Cut off and kept", "Size"], quarantine.map((one) => [one.file, bytes(one.bytes)]))
      : make("p", { class: "hint" }, "Nothing was cut off and kept.");
  put("recovery", facts(rows), kept);
}

export async function check() {
  const { running, last } = await get("check");
  $("check-start").disabled = Boolean(running);
  const parts = [];
  if (running) {
    const share = running.total ? Math.round((100 * running.done) / running.total) : 0;
    const bar = make("progress", { max: 100, value: share, "aria-label": "Reading the whole log" });
    parts.push(bar, make("p", { class: "hint" }, `${bytes(running.done)} of ${bytes(running.total)} read`));
  }
  if (!last && !running) {
    parts.push(make("p", { class: "hint" }, "Not checked yet. A check reads every byte; a log of up to 1 GiB is checked by itself."));
  }
  if (last?.problem) parts.push(make("p", { class: "bad" }, last.problem));
  if (last?.found) parts.push(...found(last));
  put("check", ...parts);
  return Boolean(running);
}

function found(last) {
  const { found: all } = last;
  const verdict = all.damaged
    ? make("p", { class: "bad" }, `Damaged in ${count(all.damage)} ${all.damage === 1 ? "place" : "places"}.`)
    : make("p", {}, "Whole: every durable byte is what was written.");
  const read = `${count(all.records)} records, ${bytes(all.bytes)}, at ${new Date(last.at_ms).toLocaleTimeString("sv")} in ${span(last.took_ms)}.`;
  const items = all.findings.map((one) =>
    make("li", {}, make("strong", { class: one.severity === "damage" ? "bad" : "" }, one.severity), `: ${one.message}`),
  );
  const more = all.left_out ? [make("li", {}, `and ${count(all.left_out)} more`)] : [];
  const list = make("ul", { class: "findings", tabindex: "0", "aria-label": "Findings" }, ...items, ...more);
  return [verdict, make("p", { class: "hint" }, read), ...(items.length ? [list] : [])];
}
