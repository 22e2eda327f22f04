// Uses the page as a person would, in a real browser. Called by tests/browser/main.rs with a JSON of where things are;
// prints what was measured, and ends with 1 and a list of what was wrong.

import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const given = JSON.parse(process.argv[2]);
const require = createRequire(join(given.modules, "node_modules", "x.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const LONG = 60000;
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };

const wrong = [];
const measured = {};

function check(holds, what) {
  if (!holds) wrong.push(what);
}

const browser = await chromium.launch({
  executablePath: given.chromium,
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
});

async function open(url, { scheme = "light", viewport = DESKTOP, quiet = false } = {}) {
  const context = await browser.newContext({ colorScheme: scheme, viewport });
  const page = await context.newPage();
  page.setDefaultTimeout(LONG);
  const origin = new URL(url).origin;
  if (!quiet) {
    page.on("console", (message) => check(message.type() !== "error", `console: ${message.text()}`));
  }
  page.on("pageerror", (error) => wrong.push(`script: ${error.message}`));
  page.on("request", (request) => check(request.url().startsWith(origin), `asked elsewhere: ${request.url()}`));
  await page.goto(url);
  return page;
}

const ready = (page) => page.waitForSelector("body[data-ready]");
const rows = (page) => page.locator("#rows tr[data-seq]");
const seqs = (page) => rows(page).evaluateAll((all) => all.map((row) => row.dataset.seq));
const rowOf = (page, seq) => page.locator(`#rows tr[data-seq="${seq}"]`);

async function shot(page, name) {
  if (given.screenshots) {
    mkdirSync(given.screenshots, { recursive: true });
    await page.screenshot({ path: join(given.screenshots, `${name}.png`), fullPage: true });
  }
}

async function jump(page, seq) {
  await page.fill("#seq", String(seq));
  await page.press("#seq", "Enter");
  await rowOf(page, seq).waitFor();
}

async function accessible(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  for (const violation of violations) {
    const where = violation.nodes.map((node) => node.target.join(" ")).slice(0, 5).join("; ");
    wrong.push(`${name}: axe ${violation.id}: ${violation.help}: ${where}`);
  }
  const overflow = await page.evaluate(() => document.scrollingElement.scrollWidth - window.innerWidth);
  check(overflow <= 0, `${name}: the page is ${overflow} pixels too wide`);
}

async function loading() {
  const page = await open(given.big);
  await ready(page);
  const times = await page.evaluate(() => ({
    paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
    ready: performance.now(),
  }));
  measured.first_paint_ms = Math.round(times.paint);
  measured.with_records_ms = Math.round(times.ready);
  const tile = await page.locator("#tiles dd").first().textContent();
  check(Number(tile.replaceAll(",", "")) >= given.entries, `the first tile shows ${tile}`);
  check((await seqs(page)).length === 100, "the first page is not full");
  check((await page.locator("#map .cell").count()) > 3, "there is no map of segments");
  return page;
}

async function browsing(page) {
  await jump(page, 5000000);
  check((await seqs(page))[0] === "5000000", "a jump leads elsewhere");
  await page.click("#older");
  await rowOf(page, 4999999).waitFor();
  check((await seqs(page))[0] === "4999900", "the older page begins elsewhere");
  await page.click("#newer");
  await rowOf(page, 5000099).waitFor();
  await page.click("#first");
  await rowOf(page, 1).waitFor();
  check(await page.locator("#older").isDisabled(), "there is something older than the first");
  await page.locator("#place").evaluate((slider) => {
    slider.value = "500";
    slider.dispatchEvent(new Event("change"));
  });
  await page.waitForFunction(() => Number(document.querySelector("#rows tr[data-seq]")?.dataset.seq) > 4900000);
  // By segment, with the keyboard alone.
  await page.focus("#map");
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  const label = await page.locator('#map [aria-selected="true"]').getAttribute("aria-label");
  const first = label.match(/seq ids ([\d,]+)/)[1].replaceAll(",", "");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await rowOf(page, first).waitFor();
  // Up and down in the rows, into an entry and out.
  await page.locator("#rows button").first().focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#detail:not([hidden])");
  const title = await page.textContent("#detail-title");
  check(title.replaceAll(",", "") === `Entry ${Number(first) + 1}`, `the keyboard opened ${title}`);
  await page.keyboard.press("Escape");
  check(await page.locator("#detail").isHidden(), "Escape closes nothing");
}

async function searching(page) {
  const begun = Date.now();
  await page.fill("#needle", `needle-${given.needle}`);
  await page.press("#needle", "Enter");
  await page.waitForFunction(() => document.querySelector("#note").textContent.includes("the end is reached"));
  measured.search_of_all_ms = Date.now() - begun;
  check((await seqs(page)).join() === String(given.needle), `the search found ${await seqs(page)}`);
  check((await page.textContent("#rows mark")) === `needle-${given.needle}`, "what was found is not marked");
  await page.selectOption("#search-as", "ignore");
  await page.fill("#needle", "HOSTILE");
  await page.press("#needle", "Enter");
  const all = `${given.hostile.length} found in`;
  await page.waitForFunction((all) => document.querySelector("#note").textContent.startsWith(all), all);
  check((await seqs(page)).join() === given.hostile.join(), "a search without regard to case found others");
  await page.waitForFunction(() => document.querySelector("#note").textContent.includes("the end is reached"));
}

async function hostile(page) {
  await jump(page, given.hostile[0]);
  const shown = async (at) => rowOf(page, given.hostile[at]).locator(".payload").textContent();
  check((await shown(0)).includes("<script>window.hit = 1</script>"), `a script is shown as ${await shown(0)}`);
  check((await shown(1)).includes("\\u{1b}]0;title\\u{7}"), `terminal escapes are shown as ${await shown(1)}`);
  check((await shown(2)).includes("\\xff\\xfe\\xc0\\x80"), `bytes that are no text are shown as ${await shown(2)}`);
  check((await shown(3)).includes("\\u{202e}"), `a turn of direction is shown as ${await shown(3)}`);
  for (const view of ["text", "hex", "json"]) {
    await page.click(`.view[data-view="${view}"]`);
    for (const seq of given.hostile) {
      await rowOf(page, seq).locator("button").click();
      await page.waitForFunction((seq) => document.querySelector("#detail-title").textContent.replaceAll(",", "") === `Entry ${seq}`, seq);
    }
  }
  const made = await page.evaluate(() => document.querySelectorAll("#rows img, #rows script, #detail img, #detail script, #rows svg").length);
  check(made === 0, `${made} elements were made of payloads`);
  check((await page.evaluate(() => window.hit)) === undefined, "a payload ran");
  await page.click('.view[data-view="json"]');
  await jump(page, given.json);
  await rowOf(page, given.json).locator("button").click();
  // The entry before has a note on JSON, too: that it is none.
  await page.waitForFunction(() => document.querySelector("#payload").textContent.includes('"id"'));
  const text = await page.textContent("#payload");
  check(text.includes('\n  "id": 12345678901234567890'), `JSON is laid out as ${text}`);
  await page.click('.view[data-view="hex"]');
  check((await page.textContent("#payload")).startsWith("00000000  7b 22"), "the hex dump is wrong");
  await page.click('.view[data-view="text"]');
}

async function following(page) {
  await page.click("#follow");
  const begun = Date.now();
  await page.waitForFunction(() => document.querySelectorAll("#rows tr[data-seq]").length >= 10);
  measured.ten_live_entries_ms = Date.now() - begun;
  check((await page.locator("#rows .payload").first().textContent()).includes("live"), "other entries are followed");
  const before = (await seqs(page)).map(Number);
  check(before.every((seq, at) => at === 0 || seq === before[at - 1] + 1), `followed with gaps: ${before}`);
  await page.waitForFunction(() => document.querySelector(".plot strong").textContent.match(/[1-9]/));
  await page.click("#follow");
  check((await page.getAttribute("#follow", "aria-pressed")) === "false", "it cannot be ended");
}

async function damaged() {
  const page = await open(given.damaged);
  await ready(page);
  await page.waitForSelector("#map .cell.hurt");
  await page.waitForSelector("#alert:not([hidden])");
  check((await page.textContent("#state")).includes("damaged"), "the state is not shown as damaged");
  check((await page.textContent("#check")).includes("walden repair"), "the next command is not told");
  await page.click("#first");
  await page.waitForSelector("#rows tr.problem");
  const before = await seqs(page);
  await page.click("#newer");
  await page.waitForFunction((last) => {
    const first = document.querySelector("#rows tr[data-seq]")?.dataset.seq;
    return first && Number(first) > Number(last) + 1;
  }, before.at(-1));
  await page.click("#first");
  await page.waitForSelector("#rows tr.problem");
  await page.locator("#map .cell.hurt").first().click();
  await shot(page, "damaged");
  await accessible(page, "damaged, light");
  return page;
}

async function everyLook() {
  for (const [name, viewport] of [["desktop", DESKTOP], ["phone", PHONE]]) {
    for (const scheme of ["light", "dark"]) {
      for (const [log, url] of [["big", given.big], ["damaged", given.damaged]]) {
        const page = await open(url, { scheme, viewport });
        await ready(page);
        await page.locator("#rows button").last().click();
        await page.waitForSelector("#detail:not([hidden])");
        await page.waitForSelector("#cursors table, #cursors p");
        await page.focus("#map");
        await page.keyboard.press("End");
        // A few looks, for the plots.
        await page.waitForFunction(() => document.querySelector(".plot path:last-child").getAttribute("d")?.includes("L"));
        await accessible(page, `${log}, ${name}, ${scheme}`);
        await page.evaluate(() => window.scrollTo(0, 0));
        await shot(page, `${log}-${name}-${scheme}`);
        await page.context().close();
      }
    }
  }
}

async function withToken() {
  const page = await open(given.guarded, { quiet: true });
  await accessible(page, "asking for the token");
  await page.fill("#token", "wrong");
  await page.press("#token", "Enter");
  await page.waitForLoadState();
  await page.waitForSelector("#token");
  await page.fill("#token", given.token);
  await page.press("#token", "Enter");
  await ready(page);
  check((await rows(page).count()) > 0, "with the token nothing is shown");
  await page.click("#follow");
  check(await page.evaluate(() => !document.cookie.includes("walden")), "scripts can read the token");
}

const steps = { loading, browsing, searching, hostile, following, damaged, everyLook, withToken };
let page;
try {
  for (const [name, step] of Object.entries(steps)) {
    const begun = Date.now();
    page = (await step(page)) ?? page;
    console.log(`${name}: ${Date.now() - begun} ms`);
  }
} catch (error) {
  wrong.push(error.stack);
}
await browser.close();
console.log(JSON.stringify(measured));
if (wrong.length) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
