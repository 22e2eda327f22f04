// Begins, and looks again and again while somebody looks.

import { get } from "./api.js";
import { $, text } from "./dom.js";
import * as facts from "./facts.js";
import * as map from "./map.js";
import * as plots from "./plots.js";
import * as records from "./records.js";

const BEAT = 1000;

let beat = 0;
let checking = true;

const every = (beats) => beat % beats === 0;

async function look() {
  const [now, past] = await Promise.all([get("status"), get("history", { since_ms: plots.latest() })]);
  facts.status(now);
  records.bounds(now.first_seq, now.next_seq);
  if (past.at_ms.length) plots.add(past);
  const parts = [];
  if (every(3)) parts.push(map.update(), facts.cursors());
  if (every(5)) parts.push(facts.recovery());
  if (checking || now.checking || every(5)) {
    parts.push(facts.check().then((running) => (checking = running)));
  }
  await Promise.all(parts);
}

async function again() {
  if (!document.hidden) {
    try {
      await look();
    } catch (error) {
      // It may come back: the log, or the server.
      text($("state"), "no answer");
      $("state").className = "state bad";
      facts.alert(error instanceof TypeError ? "walden serve does not answer. It is asked again." : error.message);
    }
    beat += 1;
  }
  setTimeout(again, BEAT);
}

plots.begin();
facts.begin();
map.begin(records.from);
document.addEventListener("visibilitychange", () => (beat = 0));
Promise.all([again(), records.begin()]).then(() => (document.body.dataset.ready = "true"));
