// Follows the server: the documents that the page shows, kept as the stream says. Messages are handed on in batches,
// so that a burst is one repaint.
import type { AsOfs, FrontendPage, Named, NodeState, Summary } from "./contract";
import type { Beat, Hello, Line, Message } from "./message";
import { Document, type Kind, type Surroundings } from "./document";
import { nodeKind, pageKind, summaryKind } from "./kinds";
import type { MessageId } from "./message-id";
import type { Ports } from "./ports";
import { Stream, type Connection } from "./stream";
import type { Wanted } from "./subscription";

/** Messages of this long are applied together. */
export const BATCH_MS = 50;

/** Who shows it. */
export interface Viewer {
  /** Runs something that may change much, to be shown once at its end. */
  together(run: () => void): void;
  /** Documents changed. */
  changed(): void;
  /** Lines of a node's log. */
  log(node: string, epoch: string, lines: readonly Line[]): void;
  /** Heartbeats of a node's backends. */
  beats(node: string, beats: Named<Beat>): void;
  /** A stream began. */
  hello(hello: Hello): void;
  /** The server's clock. */
  clock(now: string): void;
  /** Something was heard. */
  heard(): void;
  /** The connection is another one. */
  connection(connection: Connection): void;
}

/** The follower. */
export class Follower {
  readonly summary: Document<Summary>;
  /** The node whose tab is open. */
  node: Document<NodeState> | undefined;
  /** The opened frontends. */
  readonly pages = new Map<string, Document<FrontendPage>>();
  readonly #stream: Stream;
  readonly #around: Surroundings;
  #nodeName: string | null = null;
  #hello: AsOfs | undefined;
  #queue: [Message, MessageId | undefined][] = [];
  #scheduled = false;

  constructor(
    private readonly ports: Ports,
    private readonly viewer: Viewer,
  ) {
    this.#around = {
      ports,
      hello: () => this.#hello ?? {},
      // A node that nobody knows yet is waited for.
      reporting: (node) => this.summary.value?.nodes[node]?.reporting ?? true,
    };
    this.summary = this.#document(summaryKind);
    this.#stream = new Stream(ports, {
      hello: (hello) => this.#begin(hello),
      resync: () => {
        this.#flush();
        // It follows a hello that is no continuation: what that has begun to fetch is not fetched twice.
        for (const document of this.#documents()) if (!document.fetching) document.start();
      },
      message: (message, id) => this.#take(message, id),
      connection: (connection) => viewer.connection(connection),
    });
  }

  /**
   * Shows something else. A document that it adds keeps messages from now on, and is fetched when the stream with its
   * messages has begun: then nothing between the two is lost.
   */
  show(wanted: Wanted): void {
    this.#flush();
    if (wanted.node !== this.#nodeName) {
      this.node?.stop();
      this.#nodeName = wanted.node;
      this.node = wanted.node === null ? undefined : this.#document(nodeKind(wanted.node));
    }
    for (const [frontend, page] of this.pages) {
      if (wanted.open.includes(frontend)) continue;
      page.stop();
      this.pages.delete(frontend);
    }
    for (const frontend of wanted.open) {
      if (!this.pages.has(frontend)) this.pages.set(frontend, this.#document(pageKind(frontend)));
    }
    this.#stream.show(wanted);
    this.viewer.changed();
  }

  /** To be called now and then. */
  watch(): void {
    this.#stream.watch();
  }

  /** The machine slept: nothing is known of what was missed. */
  renew(): void {
    this.#stream.renew();
  }

  /** Ends everything. */
  close(): void {
    this.#stream.close();
    for (const document of this.#documents()) document.stop();
  }

  #documents() {
    return [this.summary, ...(this.node ? [this.node] : []), ...this.pages.values()];
  }

  #document<T>(kind: Kind<T>): Document<T> {
    return new Document(kind, this.#around, () => this.viewer.changed());
  }

  #begin(hello: Hello): void {
    this.#flush();
    this.#hello = hello.nodes;
    this.viewer.heard();
    this.viewer.hello(hello);
    this.viewer.clock(hello.now);
    for (const document of this.#documents()) {
      if (!hello.resumed || !document.started) document.start();
    }
  }

  #take(message: Message, id: MessageId | undefined): void {
    if (message.event === "beats") {
      this.viewer.beats(message.data.node, message.data.beats);
      return;
    }
    this.#queue.push([message, id]);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.ports.after(BATCH_MS, () => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    const queue = this.#queue;
    this.#queue = [];
    if (queue.length === 0) return;
    this.viewer.heard();
    this.viewer.together(() => {
      for (const [message, id] of queue) this.#hand(message, id);
    });
  }

  #hand(message: Message, id: MessageId | undefined): void {
    if (message.event === "log") {
      this.viewer.log(message.data.node, message.data.epoch, message.data.lines);
    } else if (message.event === "tick") {
      this.viewer.clock(message.data.now);
    } else {
      for (const document of this.#documents()) document.take(message, id);
    }
  }
}
