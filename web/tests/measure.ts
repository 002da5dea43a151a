// Measures what the page costs at full size, and prints it: npm run measure.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { it } from "vitest";
import { setBackend } from "../mock/actions.js";
import { launch, visit } from "./browser.js";
import { DIST, fleet } from "./fleet.js";

const WORD = "service-04";
const ROUNDS = 5;

it("measures", async () => {
  const browser = await launch();
  const server = await fleet("big", { alive: true });
  const kilobytes = (file: string) =>
    `${(gzipSync(readFileSync(`${DIST}/${file}`)).length / 1000).toFixed(1)} kB`;
  const figures: [string, string][] = [
    ["app.js, gzipped", kilobytes("app.js")],
    ["app.css, gzipped", kilobytes("app.css")],
    ["summary, not compressed", `${(JSON.stringify(server.broker.summary()).length / 1e6).toFixed(2)} MB`],
  ];

  const first: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const { page } = await visit(browser, "about:blank");
    await page.goto(server.url, { waitUntil: "commit" });
    await page.locator(".rows .row-open").first().waitFor();
    // When the first row was painted, from the start of the navigation.
    first.push(await page.evaluate(() => performance.now()));
    await page.context().close();
  }
  figures.push(["first state shown", spread(first)]);

  const { page } = await visit(browser, server.url);
  await page.locator(".rows .row-open").first().waitFor();
  const keystrokes: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (let length = 0; length <= WORD.length; length++) {
      keystrokes.push(await page.evaluate(typed, WORD.slice(0, length)));
    }
  }
  figures.push(["filter keystroke to repaint", spread(keystrokes)]);
  figures.push(["the same, processor time of the page's thread", await processorTime(page)]);

  const flap = setInterval(() => {
    const member = Math.floor(server.broker.world.random() * 10_000);
    const backend = [...server.broker.world.backends.keys()][member] ?? "";
    const up = server.broker.world.node("node-a").health.get(backend)?.state === "up";
    setBackend(server.broker, backend, up ? "down" : "up");
  }, 100);
  figures.push(["tasks over 50 ms in 10 s, 10 transitions/s on 10 nodes", await page.evaluate(longTasks)]);
  clearInterval(flap);

  for (const [what, figure] of figures) console.log(`${what.padEnd(58)} ${figure}`);
  await browser.close();
  await server.close();
});

// In the page: from a key's input event until what it changed was painted.
async function typed(text: string): Promise<number> {
  const input = document.querySelector("#filter") as HTMLInputElement;
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 30)));
  const began = performance.now();
  input.value = text;
  input.dispatchEvent(new InputEvent("input", { bubbles: true }));
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 0)));
  return performance.now() - began;
}

// A keystroke's work without the time in which others had the processor.
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
      await page.evaluate(typed, WORD.slice(0, length));
      values.push((await spent()) - before);
    }
  }
  return spread(values);
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

function spread(values: number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  return `median ${median.toFixed(0)} ms, worst ${(sorted.at(-1) ?? 0).toFixed(0)} ms`;
}
