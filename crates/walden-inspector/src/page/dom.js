// Makes elements. Text goes in as text, never as markup: all of it may be hostile.

export const $ = (id) => document.getElementById(id);

export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") {
      element.className = value;
    } else if (key.startsWith("on")) {
      element.addEventListener(key.slice(2), value);
    } else if (value !== undefined && value !== false) {
      element.setAttribute(key, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

export function text(element, value) {
  if (element.textContent !== value) {
    element.textContent = value;
  }
}

/// Pairs of a name and a value, as a list of definitions.
export function facts(pairs) {
  const list = make("dl", { class: "facts" });
  for (const [name, value] of pairs) {
    if (value !== undefined && value !== null) {
      list.append(make("dt", {}, name), make("dd", {}, value));
    }
  }
  return list;
}

const numbers = new Intl.NumberFormat("en");
export const count = (value) => numbers.format(value);

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

export function span(millis) {
  const seconds = millis / 1000;
  if (seconds < 0.001) return `${Math.round(millis * 1000)} µs`;
  if (seconds < 1) return `${millis < 10 ? millis.toFixed(1) : Math.round(millis)} ms`;
  if (seconds < 90) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

export const ago = (ms) => (ms === null || ms === undefined ? undefined : `${span(Math.max(0, Date.now() - ms))} ago`);

export function moment(ms) {
  if (ms === null || ms === undefined) return undefined;
  const at = new Date(ms);
  return Number.isNaN(at.getTime()) ? undefined : `${at.toLocaleString("sv")} (${ago(ms)})`;
}
