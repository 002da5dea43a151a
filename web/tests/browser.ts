// A browser for the tests: Debian's Chromium, headless, and what went wrong in it.
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";

const EXECUTABLE = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

/** Starts it. */
export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: EXECUTABLE,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
}

/** A page, and all that it complained of. */
export interface Visit {
  readonly page: Page;
  /** Errors of scripts, and what the Content-Security-Policy blocked. */
  readonly complaints: string[];
}

/** Opens a page in a profile of its own. */
export async function visit(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    // That a stream broke is told in the console, and is no mistake of the page.
    const network = /Failed to load resource|net::ERR_/.test(message.text());
    if (message.type() === "error" && !network) complaints.push(message.text());
  });
  await page.goto(url);
  return { page, complaints };
}

/** The addresses that the page asks for from now on, without their directory. */
export function requests(page: Page): string[] {
  const asked: string[] = [];
  page.on("request", (request) => {
    const [, path] = request.url().split("/view/api/");
    if (path !== undefined) asked.push(path);
  });
  return asked;
}

/** A telephone. */
export const PHONE: BrowserContextOptions = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  hasTouch: true,
  isMobile: true,
};

/** How far the page can be scrolled sideways, in pixels. */
export function sideways(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
