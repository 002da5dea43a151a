// Debian's Chromium, headless, for the tests, and what pages in it requested and reported.
import { chromium, type Browser, type BrowserContextOptions, type Page, type Request } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect } from "vitest";

const EXECUTABLE = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

/** Time limit for any single condition of a page. */
export const UNTIL = { timeout: 60_000 };

let browser: Browser | undefined;
const pendingRequests = new WeakMap<Page, Set<string>>();

/** Registers the hooks of a test file: one browser for all its tests; every test's pages are closed, passed or failed. */
export function useBrowser(): void {
  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: EXECUTABLE,
      args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
      timeout: UNTIL.timeout,
    });
  });
  afterEach(async () => {
    await Promise.all((browser?.contexts() ?? []).map((context) => context.close()));
  });
  afterAll(() => browser?.close());
}

/** A page and its errors. */
export interface Visit {
  readonly page: Page;
  /** Errors of scripts, and violations of the Content-Security-Policy. */
  readonly errors: string[];
}

/** Opens a page in a profile of its own. */
export async function visit(url: string, options: BrowserContextOptions = {}): Promise<Visit> {
  if (!browser) throw new Error("no browser: call useBrowser() in the test file");
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  context.setDefaultTimeout(UNTIL.timeout);
  const page = await context.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => {
    // The console reports broken connections, which are no errors of the page.
    const network = /Failed to load resource|net::ERR_/.test(message.text());
    if (message.type() === "error" && !network) errors.push(message.text());
  });
  trackRequests(page);
  await page.goto(url);
  return { page, errors };
}

// Counts a document as pending from its request to the end of its body. The stream never ends, so it is left out.
function trackRequests(page: Page): void {
  const pending = new Set<string>();
  pendingRequests.set(page, pending);
  const numbers = new WeakMap<Request, string>();
  let next = 0;
  page.on("request", (request) => {
    const path = apiPath(request);
    if (path === undefined || path.startsWith("events")) return;
    const key = `${path} #${++next}`;
    numbers.set(request, key);
    pending.add(key);
  });
  const ended = (request: Request) => pending.delete(numbers.get(request) ?? "");
  page.on("requestfinished", ended);
  page.on("requestfailed", ended);
}

function apiPath(request: Request): string | undefined {
  return request.url().split("/view/api/")[1];
}

/**
 * Waits until the page has all documents that it shows: none is being fetched or waits for a retry, and no request is
 * pending. A test that counts requests or changes takes its baseline after this.
 */
export async function settled(page: Page): Promise<void> {
  await expect
    .poll(async () => {
      const loading = await page.locator("main").getAttribute("aria-busy");
      return { loading, pending: [...(pendingRequests.get(page) ?? [])] };
    }, UNTIL)
    .toEqual({ loading: "false", pending: [] });
}

/** Records the paths that the page requests from now on, relative to its API. */
export function recordRequests(page: Page): string[] {
  const paths: string[] = [];
  page.on("request", (request) => {
    const path = apiPath(request);
    if (path !== undefined) paths.push(path);
  });
  return paths;
}

/** A telephone. */
export const PHONE: BrowserContextOptions = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  hasTouch: true,
  isMobile: true,
};

/** The distance by which the page can be scrolled sideways, in pixels. */
export function horizontalOverflow(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
