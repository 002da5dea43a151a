// Which rows flashed: every animation that the page starts is noted with the row it is in.
import type { Page } from "playwright-core";

/** Begins to note; to be called before the page is opened. */
export async function recordFlashes(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const noted: string[] = [];
    // eslint-disable-next-line @typescript-eslint/unbound-method -- called on its element below
    const animate = Element.prototype.animate;
    Element.prototype.animate = function (...args: Parameters<typeof animate>) {
      noted.push(this.closest<HTMLElement>("[data-name]")?.dataset["name"] ?? this.className);
      return animate.apply(this, args);
    };
    Object.assign(window, { noted });
  });
}

/** The names of the rows that flashed so far; of what is in no row, its class. */
export function flashes(page: Page): Promise<string[]> {
  return page.evaluate(() => (window as unknown as { noted: string[] }).noted);
}
