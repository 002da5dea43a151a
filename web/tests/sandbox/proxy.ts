// What stands between a browser and the dashboard's replicas in a cluster: takes them in turn, and notes what is asked.
// It breaks connections on demand, and it can be told that the page lies under a prefix.
import {
  createServer,
  request as ask,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** One stream that went through. */
export interface Through {
  readonly query: string;
  readonly replica: string;
  readonly client: Socket;
  /** How many messages of each kind it has brought. */
  readonly messages: Map<string, number>;
  /** What its `hello` says, once it is there. */
  resumed?: boolean;
  open: boolean;
}

/** How a prefix is passed on. */
export interface GateOptions {
  /** Where the site is, as browsers see it: `/lb/prod`. */
  readonly prefix?: string;
  /** Whether the prefix is taken off before a replica sees it. */
  readonly strip?: boolean;
}

/** The gate. */
export class Gate {
  /** `host:port` of every replica; taken in turn, those that refuse are passed over. */
  replicas: readonly string[];
  /** Breaks every connection at once while it is true. */
  refuses = false;
  /** Paths of documents that were asked for, without their directory. */
  readonly asked: string[] = [];
  /** The streams, in their order. */
  readonly streams: Through[] = [];
  readonly #server: Server;
  #turn = 0;

  constructor(
    replicas: readonly string[],
    private readonly options: GateOptions = {},
  ) {
    this.replicas = replicas;
    this.#server = createServer((from, to) => {
      if (this.refuses) to.destroy();
      else this.#pass(from, to, this.replicas.length);
    });
  }

  /** Listens; the page's URL. */
  async listen(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}${this.options.prefix ?? ""}/view/`;
  }

  /** Breaks every stream. */
  cut(): void {
    for (const stream of this.open()) stream.client.destroy();
  }

  /** Streams that are open now. */
  open(): Through[] {
    return this.streams.filter(({ open }) => open);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  #pass(from: IncomingMessage, to: ServerResponse, tries: number): void {
    const { prefix = "", strip = false } = this.options;
    const url = from.url ?? "/";
    if (!url.startsWith(prefix)) {
      to.writeHead(404).end();
      return;
    }
    const replica = this.replicas[this.#turn++ % this.replicas.length];
    if (replica === undefined || tries === 0) {
      to.writeHead(502).end();
      return;
    }
    const [host, port] = replica.split(":");
    const path = strip ? url.slice(prefix.length) || "/" : url;
    const onward = ask({ host, port, path, method: from.method, headers: from.headers }, (answer) => {
      this.#note(url, replica, answer, to);
      to.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(to);
      answer.on("close", () => answer.complete || to.destroy());
    });
    // Nobody is there: the next one is asked. What breaks later breaks for the browser, too.
    onward.on("error", () => (to.headersSent ? to.destroy() : this.#pass(from, to, tries - 1)));
    to.on("close", () => onward.destroy());
    onward.end();
  }

  #note(url: string, replica: string, answer: IncomingMessage, to: ServerResponse): void {
    const path = url.split("/view/api/")[1];
    if (path === undefined) return;
    if (!path.startsWith("events")) {
      this.asked.push(path);
      return;
    }
    const client = to.socket;
    if (!client) return;
    const stream: Through = {
      query: path.slice("events".length),
      replica,
      client,
      messages: new Map(),
      open: true,
    };
    this.streams.push(stream);
    to.on("close", () => (stream.open = false));
    let rest = "";
    answer.setEncoding("utf8");
    answer.on("data", (text: string) => {
      const blocks = (rest + text).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) read(stream, block);
    });
  }
}

function read(stream: Through, block: string): void {
  const event = /^event: (.*)$/m.exec(block)?.[1];
  if (event === undefined) return;
  stream.messages.set(event, (stream.messages.get(event) ?? 0) + 1);
  if (event === "hello") stream.resumed = block.includes('"resumed":true');
}

/** How many messages of a kind came on these streams. */
export function count(streams: readonly Through[], event: string): number {
  return streams.reduce((sum, { messages }) => sum + (messages.get(event) ?? 0), 0);
}
