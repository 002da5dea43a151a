// Elements of the page, and observers that run in it, for the tests of a cluster.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Locator, Page } from "playwright-core";

/** A frontend's row on the tab of all nodes, or its card on a node's tab. */
export const item = (page: Page, frontend: string): Locator => page.locator(`[data-name="${frontend}"]`);

/** A frontend's line in the table. */
export const row = (page: Page, frontend: string): Locator => item(page, frontend).locator(".table-row");

/** The names of the rows in their order. */
export const rowNames = (page: Page): Promise<string[]> => page.locator(".rows .row-open").allInnerTexts();

/** A backend's line in a frontend's table of pools. */
export const member = (page: Page, frontend: string, backend: string): Locator =>
  item(page, frontend).locator(".pools tr", { hasText: backend });

/** A node's tab. */
export const tab = (page: Page, node: string): Locator => page.locator(".tab", { hasText: node });

/** Prints a figure that is not asserted. */
export function report(text: string): void {
  console.log(`      ${text}`);
}

/** Takes a picture into the directory MAGLEV_SCREENSHOTS, if set; of the page's upper part if `height` is given. */
export async function screenshot(page: Page, name: string, height?: number): Promise<void> {
  const dir = process.env["MAGLEV_SCREENSHOTS"];
  if (!dir) return;
  mkdirSync(dir, { recursive: true });
  const width = page.viewportSize()?.width ?? 0;
  const clip = height === undefined ? {} : { clip: { x: 0, y: 0, width, height } };
  await page.screenshot({ path: join(dir, `${name}.png`), ...clip });
}

/** Observations of the heartbeats on a page. */
export interface HeartbeatObservations {
  /** Number of times that a heartbeat was drawn anew. */
  readonly redraws: number;
  /** Elements of tables with heartbeats that a layout shift moved. */
  readonly shifted: readonly string[];
  /** Distinct sizes of heartbeats. */
  readonly sizes: readonly string[];
}

/** Starts to observe heartbeats in the page. */
export async function observeHeartbeats(page: Page): Promise<void> {
  await page.evaluate(() => {
    const observed = { redraws: 0, shifted: [] as string[], sizes: [] as string[] };
    const recordSize = (heartbeat: Element) => {
      const { width, height } = heartbeat.getBoundingClientRect();
      const size = `${width}x${height}`;
      if (!observed.sizes.includes(size)) observed.sizes.push(size);
    };
    new MutationObserver((changes) => {
      for (const { target } of changes) {
        const heartbeat = (target instanceof Element ? target : target.parentElement)?.closest(".heartbeat");
        if (!heartbeat) continue;
        observed.redraws += 1;
        recordSize(heartbeat);
      }
    }).observe(document.querySelector(".cards") ?? document.body, {
      childList: true,
      characterData: true,
      subtree: true,
    });
    document.querySelectorAll(".heartbeat").forEach(recordSize);
    // `layout-shift` is specific to Chromium; TypeScript does not declare it.
    interface Shift extends PerformanceEntry {
      readonly sources: readonly { readonly node: Node | null }[];
    }
    new PerformanceObserver((list) => {
      for (const { sources } of list.getEntries() as Shift[]) {
        for (const { node } of sources) {
          const element = node instanceof Element ? node : node?.parentElement;
          // Outside of these tables ages and counters grow.
          if (element?.closest(".pools"))
            observed.shifted.push(`${element.localName} ${element.textContent}`);
        }
      }
    }).observe({ type: "layout-shift" });
    Object.assign(window, { heartbeatObservations: observed });
  });
}

/** The observations so far. */
export function heartbeatObservations(page: Page): Promise<HeartbeatObservations> {
  return page.evaluate(
    () => (window as unknown as { heartbeatObservations: HeartbeatObservations }).heartbeatObservations,
  );
}

/** Starts to watch in the page for the first time that an element's text is `text`. */
export async function watchText(element: Locator, text: string): Promise<void> {
  await element.evaluate((element, text) => {
    const check = () => {
      if (element.textContent.trim() === text && !("textShownAt" in window))
        Object.assign(window, { textShownAt: Date.now() });
    };
    new MutationObserver(check).observe(element, { childList: true, characterData: true, subtree: true });
    check();
  }, text);
}

/** The time that `watchText` recorded, in milliseconds since the epoch; `undefined` before. */
export function textShownAt(page: Page): Promise<number | undefined> {
  return page.evaluate(() => (window as unknown as { textShownAt?: number }).textShownAt);
}
