// The page as these tests look at it.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Locator, Page } from "playwright-core";

/** A frontend's row of all nodes, or its card on a node's tab. */
export const of = (page: Page, name: string): Locator => page.locator(`[data-name="${name}"]`);

/** A frontend's line. */
export const row = (page: Page, name: string): Locator => of(page, name).locator(".table-row");

/** The names of the rows, in their order. */
export const names = (page: Page): Promise<string[]> => page.locator(".rows .row-open").allInnerTexts();

/** A backend's line in the table of pools of a frontend. */
export const member = (page: Page, frontend: string, backend: string): Locator =>
  of(page, frontend).locator(".pools tr", { hasText: backend });

/** A node's tab. */
export const tab = (page: Page, node: string): Locator => page.locator(".tab", { hasText: node });

/** Prints what a test has seen; nothing is asserted of it. */
export function say(what: string): void {
  console.log(`      ${what}`);
}

/** Takes a picture, of its upper part if `height` is given, where somebody wants one: MAGLEV_SCREENSHOTS names the directory. */
export async function picture(page: Page, name: string, height?: number): Promise<void> {
  const dir = process.env["MAGLEV_SCREENSHOTS"];
  if (!dir) return;
  mkdirSync(dir, { recursive: true });
  const width = page.viewportSize()?.width ?? 0;
  const clip = height === undefined ? {} : { clip: { x: 0, y: 0, width, height } };
  await page.screenshot({ path: join(dir, `${name}.png`), ...clip });
}

/** In the page, from now on: how often each heart is drawn anew, and what was shifted in the tables of hearts. */
export async function watchHearts(page: Page): Promise<void> {
  await page.evaluate(() => {
    const seen = { swaps: 0, shifted: [] as string[], sizes: [] as string[] };
    const note = (heart: Element) => {
      const { width, height } = heart.getBoundingClientRect();
      const size = `${width}x${height}`;
      if (!seen.sizes.includes(size)) seen.sizes.push(size);
    };
    new MutationObserver((changes) => {
      for (const { target } of changes) {
        const heart = (target instanceof Element ? target : target.parentElement)?.closest(".heartbeat");
        if (!heart) continue;
        seen.swaps += 1;
        note(heart);
      }
    }).observe(document.querySelector(".cards") ?? document.body, {
      childList: true,
      characterData: true,
      subtree: true,
    });
    document.querySelectorAll(".heartbeat").forEach(note);
    // `layout-shift` is an entry of Chromium's that the types do not know.
    interface Shift extends PerformanceEntry {
      readonly sources: readonly { readonly node: Node | null }[];
    }
    new PerformanceObserver((list) => {
      for (const { sources } of list.getEntries() as Shift[]) {
        for (const { node } of sources) {
          const element = node instanceof Element ? node : node?.parentElement;
          // Elsewhere ages and counters grow.
          if (element?.closest(".pools")) seen.shifted.push(`${element.localName} ${element.textContent}`);
        }
      }
    }).observe({ type: "layout-shift" });
    Object.assign(window, { hearts: seen });
  });
}

/** What that saw. */
export function sawHearts(page: Page): Promise<{
  readonly swaps: number;
  readonly shifted: readonly string[];
  readonly sizes: readonly string[];
}> {
  return page.evaluate(() => (window as unknown as { hearts: ReturnType<typeof sawHearts> }).hearts);
}

/** In the page, from now on: when the text of an element first is `wanted`, milliseconds since the epoch. */
export async function watchText(line: Locator, wanted: string): Promise<void> {
  await line.evaluate((element, wanted) => {
    const look = () => {
      if (element.textContent.trim() === wanted && !("shownAt" in window))
        Object.assign(window, { shownAt: Date.now() });
    };
    new MutationObserver(look).observe(element, { childList: true, characterData: true, subtree: true });
    look();
  }, wanted);
}

/** When it was. */
export function shownAt(page: Page): Promise<number | undefined> {
  return page.evaluate(() => (window as unknown as { shownAt?: number }).shownAt);
}
