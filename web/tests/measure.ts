// Measures the page at full size and prints the figures (hack/web/measure), on the mock or on the server that
// MAGLEV_DASHBOARD_URL names.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { it } from "vitest";
import { setBackend } from "../mock/actions.js";
import { UNTIL, useBrowser, visit } from "./browser.js";
import { DIST, startMockServer, type MockServer } from "./mock-server.js";

// A prefix of the names of ten frontends; its own prefixes match up to all of them.
const WORD = "service-043";
const ROUNDS = 5;

useBrowser();

it("prints the figures of the page", async () => {
  const serverUrl = process.env["MAGLEV_DASHBOARD_URL"];
  const mock = serverUrl === undefined ? await startMockServer("big", { simulate: true }) : undefined;
  const url = serverUrl ?? mock?.url ?? "";
  const report = (label: string, figure: string) => {
    console.log(`  ${label.padEnd(58)} ${figure}`);
  };
  report("app.js, gzipped", kilobytes("app.js"));
  report("app.css, gzipped", kilobytes("app.css"));
  const summary = await (await fetch(`${url}api/summary`)).arrayBuffer();
  report("summary, not compressed", `${(summary.byteLength / 1e6).toFixed(2)} MB`);

  report("All nodes opened, to its first row (goal: 2 s)", await timeToOpen(url, ALL));
  const { page } = await visit(url);
  await page.locator(ALL).first().waitFor(UNTIL);
  const nodes = await page
    .locator(".tabs option")
    .evaluateAll((options) => options.map((option) => (option as HTMLOptionElement).value));
  const node = nodes[1] ?? "";
  const tab = new URL(`#/node/${node}`, url).href;
  report("a node's tab opened, to its first card (goal: 2 s)", await timeToOpen(tab, CARD));
  report("a node's tab chosen, to its first card (goal: 2 s)", await timeToSwitch(page, nodes.slice(1)));

  await page.goto(url);
  await page.locator(ALL).first().waitFor(UNTIL);
  report("All nodes: filter keystroke to repaint (goal: 100 ms)", summarize(await keystrokes(page)));
  report("processor time of the page's thread per keystroke", await processorTime(page));
  await page.goto(tab);
  await page.locator(CARD).first().waitFor(UNTIL);
  report("a node's tab: filter keystroke to repaint (goal: 100 ms)", summarize(await keystrokes(page)));

  await page.goto(url);
  await page.locator(ALL).first().waitFor(UNTIL);
  const stop = mock ? flapBackends(mock) : () => undefined;
  report("tasks over 50 ms in 10 s, 10 transitions/s on 10 nodes", await page.evaluate(longTasks));
  stop();
  await mock?.close();
});

const ALL = ".rows .row-open";
const CARD = ".card";

function kilobytes(file: string): string {
  return `${(gzipSync(readFileSync(`${DIST}/${file}`)).length / 1000).toFixed(1)} kB`;
}

// From the start of a navigation in a new profile until the first line is painted.
async function timeToOpen(url: string, line: string): Promise<string> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const { page } = await visit("about:blank");
    await page.goto(url, { waitUntil: "commit" });
    await page.locator(line).first().waitFor(UNTIL);
    times.push(await page.evaluate(() => performance.now()));
    await page.context().close();
  }
  return summarize(times);
}

// From the choice of a node that was not shown before until its first card is painted.
async function timeToSwitch(page: Page, nodes: string[]): Promise<string> {
  const times: number[] = [];
  for (const node of nodes.slice(0, ROUNDS)) {
    await page.evaluate(() => (location.hash = "#/"));
    await page.locator(ALL).first().waitFor(UNTIL);
    const start = Date.now();
    await page.evaluate((name) => (location.hash = `#/node/${name}`), node);
    await page.locator(CARD).first().waitFor(UNTIL);
    times.push(Date.now() - start);
  }
  return summarize(times);
}

async function keystrokes(page: Page): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (let length = 0; length <= WORD.length; length++) {
      times.push(await page.evaluate(keystrokeToPaint, WORD.slice(0, length)));
    }
  }
  return times;
}

function flapBackends(mock: MockServer): () => void {
  const timer = setInterval(() => {
    const member = Math.floor(mock.broker.world.random() * 10_000);
    const backend = [...mock.broker.world.backends.keys()][member] ?? "";
    const up = mock.broker.world.node("node-a").health.get(backend)?.state === "up";
    setBackend(mock.broker, backend, up ? "down" : "up");
  }, 100);
  return () => {
    clearInterval(timer);
  };
}

// In the page: from the input event of a key until its effect is painted.
async function keystrokeToPaint(text: string): Promise<number> {
  const input = document.querySelector("#filter") as HTMLInputElement;
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 30)));
  const start = performance.now();
  input.value = text;
  input.dispatchEvent(new InputEvent("input", { bubbles: true }));
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 0)));
  return performance.now() - start;
}

// Processor time of a keystroke, without the time in which other processes ran.
async function processorTime(page: Page): Promise<string> {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  const spent = async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    return (metrics.find(({ name }) => name === "TaskDuration")?.value ?? 0) * 1000;
  };
  const values: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (let length = 0; length <= WORD.length; length++) {
      const before = await spent();
      await page.evaluate(keystrokeToPaint, WORD.slice(0, length));
      values.push((await spent()) - before);
    }
  }
  return summarize(values);
}

async function longTasks(): Promise<string> {
  const tasks: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) tasks.push(Math.round(duration));
  });
  observer.observe({ type: "longtask" });
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  return tasks.length === 0 ? "none" : `${tasks.length}, longest ${Math.max(...tasks)} ms`;
}

function summarize(values: number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  return `median ${median.toFixed(0)} ms, worst ${(sorted.at(-1) ?? 0).toFixed(0)} ms`;
}
