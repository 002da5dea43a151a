// Records flashes: every animation that the page starts, by the row that it is in.
import type { Page } from "playwright-core";

/** Starts recording. Must be called before the page is opened. */
export async function recordFlashes(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const flashed: string[] = [];
    // eslint-disable-next-line @typescript-eslint/unbound-method -- called on its element below
    const animate = Element.prototype.animate;
    Element.prototype.animate = function (...args: Parameters<typeof animate>) {
      flashed.push(this.closest<HTMLElement>("[data-name]")?.dataset["name"] ?? this.className);
      return animate.apply(this, args);
    };
    Object.assign(window, { flashed });
  });
}

/** The names of the rows that flashed so far; for an element outside of rows, its class. */
export function flashes(page: Page): Promise<string[]> {
  return page.evaluate(() => (window as unknown as { flashed: string[] }).flashed);
}
