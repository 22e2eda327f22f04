// Lines over time, of what is seen from outside the writer.

import { $, bytes, count, make, span, text } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const KEPT = 900;
const WIDTH = 300;
const HEIGHT = 60;

const rate = (value) => `${count(value >= 100 ? Math.round(value) : Math.round(value * 10) / 10)}`;

const plots = [
  { name: "Entries per second", of: (b, a, s) => Math.max(0, Number(b.next - a.next)) / s, show: (v) => `${rate(v)} /s` },
  { name: "Bytes per second", of: (b, a, s) => (b.appended - a.appended) / s, show: (v) => `${bytes(v)}/s` },
  { name: "Not yet known durable", of: (b) => Number(b.doubt), show: (v) => count(Math.round(v)) },
  { name: "Wait to be durable", of: (b) => b.waits, show: (v) => (v ? span(v) : "< 1 s") },
  { name: "Time to look", of: (b) => b.took / 1000, show: span },
];

let samples = [];

export function begin() {
  for (const plot of plots) {
    plot.value = make("strong");
    plot.most = make("span");
    plot.svg = document.createElementNS(SVG, "svg");
    plot.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    plot.svg.setAttribute("preserveAspectRatio", "none");
    plot.svg.setAttribute("role", "img");
    plot.under = document.createElementNS(SVG, "path");
    plot.under.setAttribute("class", "under");
    plot.path = document.createElementNS(SVG, "path");
    plot.svg.append(plot.under, plot.path);
    const title = make("div", { class: "line" }, make("span", {}, plot.name), plot.value);
    $("plots").append(make("div", { class: "plot" }, title, plot.svg, make("div", { class: "line" }, plot.most)));
  }
}

/// The time of the last sample, so that only later ones are asked for.
export const latest = () => samples.at(-1)?.at;

export function add(columns) {
  columns.at_ms.forEach((at, i) => {
    const next = BigInt(columns.next_seq[i]);
    const doubt = next - BigInt(columns.durable_seq[i]) - 1n;
    samples.push({
      at,
      next,
      doubt: doubt > 0n ? doubt : 0n,
      appended: columns.appended_bytes[i],
      waits: columns.waits_ms[i],
      took: columns.took_us[i],
    });
  });
  samples = samples.slice(-KEPT);
  plots.forEach(draw);
}

function draw(plot) {
  const points = samples.slice(1).map((sample, i) => {
    const seconds = Math.max(0.001, (sample.at - samples[i].at) / 1000);
    return [sample.at, plot.of(sample, samples[i], seconds)];
  });
  if (!points.length) {
    text(plot.value, "…");
    plot.svg.setAttribute("aria-label", `${plot.name}: not known yet`);
    return;
  }
  const values = points.map(([, value]) => value);
  const most = Math.max(...values);
  const [from, to] = [points[0][0], points.at(-1)[0]];
  const x = (at) => (to > from ? ((at - from) / (to - from)) * WIDTH : WIDTH);
  const y = (value) => HEIGHT - 1 - (most ? (value / most) * (HEIGHT - 4) : 0);
  const line = points.map(([at, value]) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
  plot.path.setAttribute("d", `M${line}`);
  plot.under.setAttribute("d", `M${x(from)} ${HEIGHT}L${line}L${x(to)} ${HEIGHT}Z`);
  const now = plot.show(values.at(-1));
  text(plot.value, now);
  text(plot.most, `at most ${plot.show(most)} in ${span(to - from)}`);
  plot.svg.setAttribute("aria-label", `${plot.name}: now ${now}, at most ${plot.show(most)} in the last ${span(to - from)}`);
}
