// Shows payloads. They are hostile: nothing in them may act, hide, or pretend to be something else.

import { make } from "./dom.js";

export function decode(base64) {
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at += 1) {
    bytes[at] = binary.charCodeAt(at);
  }
  return bytes;
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// What has no shape of its own, or turns the direction of what stands beside it.
const unseen = /[\p{C}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/u;

const wide = (first) => (first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2);

/// Calls `part(text, escaped)` for each run of text, and of what had to be escaped.
function runs(bytes, breaks, part) {
  let run = "";
  let escaped = false;
  const put = (piece, escape) => {
    if (escape !== escaped && run) {
      part(run, escaped);
      run = "";
    }
    escaped = escape;
    run += piece;
  };
  for (let at = 0; at < bytes.length; ) {
    const length = wide(bytes[at]);
    let character;
    try {
      character = length === 1 ? String.fromCharCode(bytes[at]) : strict.decode(bytes.subarray(at, at + length));
    } catch {
      character = undefined;
    }
    if (character === undefined || [...character].length !== 1) {
      put(`\\x${bytes[at].toString(16).padStart(2, "0")}`, true);
      at += 1;
      continue;
    }
    at += length;
    if ((character === "\n" || character === "\t") && breaks) {
      put(character, false);
    } else if (unseen.test(character)) {
      put(`\\u{${character.codePointAt(0).toString(16)}}`, true);
    } else {
      put(character, false);
    }
  }
  if (run) {
    part(run, escaped);
  }
}

/// The bytes as text; with `breaks`, over several lines. From `mark[0]` to `mark[1]` was searched for.
export function asText(bytes, breaks, mark) {
  const fragment = document.createDocumentFragment();
  const put = (from, to, into) =>
    runs(bytes.subarray(from, to), breaks, (run, escaped) =>
      into.append(escaped ? make("span", { class: "esc" }, run) : run),
    );
  if (!mark) {
    put(0, bytes.length, fragment);
    return fragment;
  }
  put(0, mark[0], fragment);
  const found = make("mark");
  put(mark[0], mark[1], found);
  fragment.append(found);
  put(mark[1], bytes.length, fragment);
  return fragment;
}

/// A line of hex digits, for a row.
export function asHexLine(bytes, mark) {
  const fragment = document.createDocumentFragment();
  const put = (from, to, into) => {
    const digits = Array.from(bytes.subarray(from, to), (byte) => byte.toString(16).padStart(2, "0"));
    into.append(digits.join(" "));
  };
  if (!mark) {
    put(0, bytes.length, fragment);
    return fragment;
  }
  put(0, mark[0], fragment);
  const found = make("mark");
  put(mark[0], mark[1], found);
  fragment.append(mark[0] ? " " : "", found, mark[1] < bytes.length ? " " : "");
  put(mark[1], bytes.length, fragment);
  return fragment;
}

/// Offsets, digits and characters; `width` bytes a line.
export function asHexDump(bytes, offset, width) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += width) {
    const row = bytes.subarray(at, at + width);
    const digits = Array.from(row, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const shown = Array.from(row, (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${(offset + at).toString(16).padStart(8, "0")}  ${digits.padEnd(width * 3 - 1)}  ${shown}`);
  }
  return lines.join("\n");
}

/// JSON laid out over lines, or null where it is none. Its tokens stay as they are: numbers keep their digits.
export function asJson(bytes) {
  let source;
  try {
    source = strict.decode(bytes);
    JSON.parse(source);
  } catch {
    return null;
  }
  const tokens = source.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  let out = "";
  let depth = 0;
  const line = () => `\n${"  ".repeat(Math.min(depth, 40))}`;
  tokens.forEach((token, at) => {
    const next = tokens[at + 1];
    if (token === "{" || token === "[") {
      depth += 1;
      out += token;
      if (next !== "}" && next !== "]") out += line();
    } else if (token === "}" || token === "]") {
      depth -= 1;
      const before = tokens[at - 1];
      if (before !== "{" && before !== "[") out += line();
      out += token;
    } else if (token === ",") {
      out += token + line();
    } else {
      out += token === ":" ? ": " : token;
    }
  });
  return new TextEncoder().encode(out);
}
