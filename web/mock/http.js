// The server of the contract: the page under /view/ with the headers of the real server, its documents, its stream.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import * as documents from "./documents.js";

/**
 * @typedef {import("./broker.js").Broker} Broker
 * @typedef {import("./broker.js").Client} Client
 * @typedef {import("node:http").ServerResponse} Response
 */

export const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** @type {Record<string, string>} */
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".md": "text/markdown; charset=utf-8",
};

export class MockHttp {
  /** Responds 503 to every request while it is true. */
  unavailable = false;
  /** Delay of documents, in milliseconds. */
  delay = 0;

  /**
   * @param {Broker} broker
   * @param {string} dist directory of the built page
   */
  constructor(broker, dist) {
    this.broker = broker;
    this.dist = dist;
    this.server = createServer((request, response) => {
      this.#answer(request.url ?? "/", request.headers["last-event-id"], response).catch(
        (/** @type {unknown} */ error) => {
          response.writeHead(500).end(String(error));
        },
      );
    });
  }

  /**
   * @param {number} [port]
   * @returns {Promise<string>} the URL of the page
   */
  listen(port = 0) {
    return new Promise((resolve) => {
      this.server.listen(port, "127.0.0.1", () => {
        const address = this.server.address();
        resolve(`http://127.0.0.1:${typeof address === "object" ? (address?.port ?? 0) : 0}/view/`);
      });
    });
  }

  /** Breaks every stream, as a proxy or a restart does. */
  breakStreams() {
    for (const client of [...this.broker.clients]) client.close();
  }

  close() {
    this.breakStreams();
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  /**
   * @param {string} url
   * @param {string | string[] | undefined} lastId
   * @param {Response} response
   */
  async #answer(url, lastId, response) {
    const { pathname, searchParams } = new URL(url, "http://mock");
    response.setHeader("Content-Security-Policy", POLICY);
    response.setHeader("X-Content-Type-Options", "nosniff");
    response.setHeader("Referrer-Policy", "no-referrer");
    if (this.unavailable) {
      response.writeHead(503).end();
      return;
    }
    if (pathname === "/view") {
      response.writeHead(308, { location: "view/" }).end();
      return;
    }
    if (pathname === "/view/api/events") {
      this.#events(searchParams, lastId, response);
      return;
    }
    if (pathname.startsWith("/view/api/"))
      return this.#document(pathname.slice("/view/api/".length), response);
    return this.#file(pathname, response);
  }

  /**
   * @param {string} path
   * @param {Response} response
   */
  async #document(path, response) {
    if (this.delay > 0) await new Promise((resolve) => setTimeout(resolve, this.delay));
    const value = this.#find(path.split("/").map(decodeURIComponent));
    const body = JSON.stringify(value ?? { reason: "NotFound", message: `there is no ${path}` });
    response.writeHead(value === undefined ? 404 : 200, {
      "Content-Type": "application/json",
      "Cache-Control": "no-store",
    });
    response.end(body);
  }

  /**
   * @param {string[]} words
   * @returns {unknown}
   */
  #find([resource = "", first = "", second = "", third = ""]) {
    const { broker } = this;
    const { world } = broker;
    if (resource === "summary") return broker.summary();
    if (resource === "version") {
      const build_date = "2026-11-20T08:00:00.000Z";
      return {
        version: "0.3.0",
        commit: "ab12cd3",
        build_date,
        started: START,
        replica: broker.replica,
        admin: false,
      };
    }
    if (resource === "state" && world.nodes.has(first)) return documents.nodeState(world, first);
    const frontend = `${first}/${second}`;
    if (resource === "frontend" && world.frontends.has(frontend)) return broker.page(frontend);
    if (resource === "object" && world.backends.has(`${second}/${third}`)) {
      return documents.objectInfo(world, "Backend", `${second}/${third}`);
    }
    return undefined;
  }

  /**
   * @param {URLSearchParams} parameters
   * @param {string | string[] | undefined} lastId
   * @param {Response} response
   */
  #events(parameters, lastId, response) {
    const list = (/** @type {string} */ name) => (parameters.get(name) ?? "").split(",").filter(Boolean);
    response.writeHead(200, {
      "Content-Type": "text/event-stream",
      "Cache-Control": "no-store",
      "X-Accel-Buffering": "no",
    });
    /** @type {Client} */
    const client = {
      filter: {
        node: parameters.get("node"),
        open: list("open"),
        log: parameters.get("log"),
        beats: list("beats"),
        since: (typeof lastId === "string" ? lastId : null) ?? parameters.get("since"),
      },
      write: (text) => response.write(text),
      close: () => response.destroy(),
    };
    response.on("close", () => this.broker.clients.delete(client));
    this.broker.join(client);
  }

  /**
   * @param {string} pathname
   * @param {Response} response
   */
  async #file(pathname, response) {
    const name = normalize(pathname.replace(/^\/view\//, "") || "index.html");
    try {
      const body = await readFile(join(this.dist, name));
      const type = TYPES[extname(name)] ?? "application/octet-stream";
      response.writeHead(200, { "Content-Type": type, "Cache-Control": "no-cache" }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  }
}

const START = new Date().toISOString();
