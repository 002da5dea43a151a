// The server of the contract: the page under /view/ with the headers of the real server, its documents, its stream.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { text } from "node:stream/consumers";
import * as documents from "./documents.js";

/**
 * @typedef {import("./broker.js").Broker} Broker
 * @typedef {import("./broker.js").Client} Client
 * @typedef {import("node:http").IncomingMessage} Request
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

const SIGNED_IN = { who: "ada", csrf: "csrf", ends: 4_000_000_000 };

export class MockHttp {
  /** Responds 503 to every request while it is true. */
  unavailable = false;
  /** Delay of documents, in milliseconds. */
  delay = 0;
  /**
   * The session of the only user: `open` if everybody may read, else `none` or `signed-in`.
   * @type {"open" | "none" | "signed-in"}
   */
  session = "open";

  /**
   * @param {Broker} broker
   * @param {string} dist directory of the built page
   */
  constructor(broker, dist) {
    this.broker = broker;
    this.dist = dist;
    this.server = createServer((request, response) => {
      this.#answer(request, response).catch((/** @type {unknown} */ error) => {
        response.writeHead(500).end(String(error));
      });
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
   * @param {Request} request
   * @param {Response} response
   */
  async #answer(request, response) {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://mock");
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
    if (pathname === "/view/api/session") {
      json(response, 200, this.#status());
      return;
    }
    if (pathname === "/view/api/sign-in") return this.#signIn(request, response);
    if (pathname === "/view/api/sign-out") {
      this.endSession();
      json(response, 200, {});
      return;
    }
    if (this.session === "none" && pathname.startsWith("/view/api/")) {
      json(response, 401, { reason: "NotSignedIn", message: "you are not signed in" });
      return;
    }
    if (pathname === "/view/api/events") {
      this.#events(searchParams, request.headers["last-event-id"], response);
      return;
    }
    if (pathname.startsWith("/view/api/"))
      return this.#document(pathname.slice("/view/api/".length), response);
    return this.#file(pathname, response);
  }

  /** Ends the session, and with it every stream. */
  endSession() {
    this.session = "none";
    this.breakStreams();
  }

  #status() {
    if (this.session === "open") return { to_read: false, to_change: false };
    const status = { mode: "token", to_read: true, to_change: false };
    return this.session === "none" ? status : { ...status, signed_in: SIGNED_IN };
  }

  /**
   * Only `viewer-token` is a token of a user who may read.
   * @param {Request} request
   * @param {Response} response
   */
  async #signIn(request, response) {
    if (!(await text(request)).includes('"viewer-token"')) {
      json(response, 403, { reason: "NotAllowedToRead", message: "bob may not list frontends" });
      return;
    }
    this.session = "signed-in";
    json(response, 200, SIGNED_IN);
  }

  /**
   * @param {string} path
   * @param {Response} response
   */
  async #document(path, response) {
    if (this.delay > 0) await new Promise((resolve) => setTimeout(resolve, this.delay));
    const value = this.#find(path.split("/").map(decodeURIComponent));
    if (value === undefined) json(response, 404, { reason: "NotFound", message: `there is no ${path}` });
    else json(response, 200, value);
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

/**
 * @param {Response} response
 * @param {number} status
 * @param {unknown} value
 */
function json(response, status, value) {
  response.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store" });
  response.end(JSON.stringify(value));
}
