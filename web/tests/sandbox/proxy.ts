// A proxy between the browser and the dashboard's replicas: balances them round-robin, records requests and streams,
// breaks connections on demand, and can serve the page under a prefix.
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** A stream that passed the proxy. */
export interface ProxiedStream {
  readonly query: string;
  readonly replica: string;
  readonly client: Socket;
  /** Number of messages by event. */
  readonly messages: Map<string, number>;
  /** The field of its `hello`; `undefined` before. */
  resumed?: boolean;
  open: boolean;
}

/** Forwarding of a path prefix. */
export interface ProxyOptions {
  /** Path of the site as browsers see it: `/lb/prod`. */
  readonly prefix?: string;
  /** Removes the prefix before the request reaches a replica. */
  readonly strip?: boolean;
}

/** The proxy. */
export class Proxy {
  /** `host:port` of every replica, in turn; a replica that refuses the connection is skipped. */
  replicas: readonly string[];
  /** Breaks every new connection while it is true. */
  refusing = false;
  /** Paths of requested documents, relative to the API. */
  readonly requested: string[] = [];
  /** All streams, oldest first. */
  readonly streams: ProxiedStream[] = [];
  readonly #server: Server;
  #turn = 0;

  constructor(
    replicas: readonly string[],
    private readonly options: ProxyOptions = {},
  ) {
    this.replicas = replicas;
    this.#server = createServer((incoming, outgoing) => {
      if (this.refusing) {
        outgoing.destroy();
        return;
      }
      const path = apiPath(incoming);
      if (path !== undefined && !path.startsWith("events")) this.requested.push(path);
      this.#forward(incoming, outgoing, this.replicas.length);
    });
  }

  /** Listens and returns the page's URL. */
  async listen(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}${this.options.prefix ?? ""}/view/`;
  }

  /** Breaks every stream. */
  breakStreams(): void {
    for (const stream of this.openStreams()) stream.client.destroy();
  }

  /** The streams that are open now. */
  openStreams(): ProxiedStream[] {
    return this.streams.filter(({ open }) => open);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  #forward(incoming: IncomingMessage, outgoing: ServerResponse, attempts: number): void {
    const { prefix = "", strip = false } = this.options;
    const url = incoming.url ?? "/";
    if (!url.startsWith(prefix)) {
      outgoing.writeHead(404).end();
      return;
    }
    const replica = this.replicas[this.#turn++ % this.replicas.length];
    if (replica === undefined || attempts === 0) {
      outgoing.writeHead(502).end();
      return;
    }
    const [host, port] = replica.split(":");
    const path = strip ? url.slice(prefix.length) || "/" : url;
    const { method, headers } = incoming;
    const upstream = request({ host, port, path, method, headers }, (response) => {
      this.#recordStream(apiPath(incoming), replica, response, outgoing);
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(outgoing);
      response.on("close", () => response.complete || outgoing.destroy());
    });
    // Before any response the next replica is tried. After that the failure reaches the browser.
    upstream.on("error", () =>
      outgoing.headersSent ? outgoing.destroy() : this.#forward(incoming, outgoing, attempts - 1),
    );
    outgoing.on("close", () => upstream.destroy());
    upstream.end();
  }

  #recordStream(
    path: string | undefined,
    replica: string,
    response: IncomingMessage,
    outgoing: ServerResponse,
  ): void {
    const client = outgoing.socket;
    if (!path?.startsWith("events") || !client) return;
    const query = path.slice("events".length);
    const stream: ProxiedStream = { query, replica, client, messages: new Map(), open: true };
    this.streams.push(stream);
    outgoing.on("close", () => (stream.open = false));
    let rest = "";
    response.setEncoding("utf8");
    response.on("data", (text: string) => {
      const blocks = (rest + text).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) recordMessage(stream, block);
    });
  }
}

function apiPath({ url = "/" }: IncomingMessage): string | undefined {
  return url.split("/view/api/")[1];
}

function recordMessage(stream: ProxiedStream, block: string): void {
  const event = /^event: (.*)$/m.exec(block)?.[1];
  if (event === undefined) return;
  stream.messages.set(event, (stream.messages.get(event) ?? 0) + 1);
  if (event === "hello") stream.resumed = block.includes('"resumed":true');
}

/** The number of messages of an event on these streams. */
export function countMessages(streams: readonly ProxiedStream[], event: string): number {
  return streams.reduce((sum, { messages }) => sum + (messages.get(event) ?? 0), 0);
}
