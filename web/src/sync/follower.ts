// Keeps the documents of the page in sync with the server. Messages are applied in batches, so that a burst causes one
// repaint.
import type {
  Positions,
  Heartbeat,
  FrontendPage,
  Hello,
  Line,
  Message,
  Named,
  NodePage,
  Summary,
} from "./contract";
import { Document, type DocumentKind, type DocumentContext } from "./document";
import { nodeKind, pageKind, summaryKind } from "./kinds";
import type { MessageId } from "./message-id";
import type { Ports } from "./ports";
import { Stream, type Connection } from "./stream";
import type { Subscription } from "./subscription";

/** Messages within this time are applied together. */
export const BATCH_MS = 50;

/** Receiver of updates. */
export interface FollowerObserver {
  /** Runs `run`, which may change many documents, and shows the result once. */
  batch(run: () => void): void;
  /** Called after any document changed. */
  documentsChanged(): void;
  /** Log lines of a node. */
  logLines(node: string, epoch: string, lines: readonly Line[]): void;
  /** Heartbeats of a node's backends. */
  heartbeats(node: string, beats: Named<Heartbeat>): void;
  /** Called when a stream starts. */
  hello(hello: Hello): void;
  /** The server's clock, RFC 3339. */
  serverTime(now: string): void;
  /** Called after every message and hello. */
  contacted(): void;
  /** The new state of the connection. */
  connection(connection: Connection): void;
}

export class Follower {
  readonly summary: Document<Summary>;
  /** The node whose tab is open. */
  node: Document<NodePage> | undefined;
  /** The opened frontends. */
  readonly pages = new Map<string, Document<FrontendPage>>();
  readonly #stream: Stream;
  readonly #context: DocumentContext;
  #nodeName: string | null = null;
  #helloAsOf: Positions | undefined;
  #queue: [Message, MessageId | undefined][] = [];
  #scheduled = false;

  constructor(
    private readonly ports: Ports,
    private readonly observer: FollowerObserver,
  ) {
    this.#context = {
      ports,
      hello: () => this.#helloAsOf ?? {},
      // A node that the summary does not have yet is waited for.
      reporting: (node) => this.summary.value?.nodes[node]?.reporting ?? true,
    };
    this.summary = this.#document(summaryKind);
    this.#stream = new Stream(ports, {
      hello: (hello) => this.#handleHello(hello),
      resync: () => {
        this.#flush();
        // Follows a hello that is not a continuation: fetches that the hello has started are not repeated.
        for (const document of this.#documents()) if (!document.fetching) document.start();
      },
      message: (message, id) => this.#enqueue(message, id),
      connection: (connection) => observer.connection(connection),
    });
  }

  /**
   * Changes what is shown. A new document buffers messages from now on and is fetched once the stream with its
   * messages has started, so that no message is lost.
   */
  subscribe(subscription: Subscription): void {
    this.#flush();
    if (subscription.node !== this.#nodeName) {
      this.node?.stop();
      this.#nodeName = subscription.node;
      this.node = subscription.node === null ? undefined : this.#document(nodeKind(subscription.node));
    }
    for (const [frontend, page] of this.pages) {
      if (subscription.open.includes(frontend)) continue;
      page.stop();
      this.pages.delete(frontend);
    }
    for (const frontend of subscription.open) {
      if (!this.pages.has(frontend)) this.pages.set(frontend, this.#document(pageKind(frontend)));
    }
    this.#stream.subscribe(subscription);
    this.observer.documentsChanged();
  }

  /** Reopens a dead stream. Must be called regularly. */
  checkLiveness(): void {
    this.#stream.checkLiveness();
  }

  /** Opens a fresh stream and refetches everything, as after sleep. */
  reopen(): void {
    this.#stream.reopen();
  }

  /** True while a document is being fetched, for the first time or again. */
  get loading(): boolean {
    return this.#documents().some((document) => document.loading);
  }

  /** Closes the stream and cancels all fetches. */
  close(): void {
    this.#stream.close();
    for (const document of this.#documents()) document.stop();
  }

  #documents() {
    return [this.summary, ...(this.node ? [this.node] : []), ...this.pages.values()];
  }

  #document<T>(kind: DocumentKind<T>): Document<T> {
    return new Document(kind, this.#context, () => this.observer.documentsChanged());
  }

  #handleHello(hello: Hello): void {
    this.#flush();
    this.#helloAsOf = hello.nodes;
    this.observer.contacted();
    this.observer.hello(hello);
    this.observer.serverTime(hello.now);
    for (const document of this.#documents()) {
      if (!hello.resumed || !document.started) document.start();
    }
  }

  #enqueue(message: Message, id: MessageId | undefined): void {
    if (message.event === "beats") {
      this.observer.heartbeats(message.data.node, message.data.beats);
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
    this.observer.contacted();
    this.observer.batch(() => {
      for (const [message, id] of queue) this.#dispatch(message, id);
    });
  }

  #dispatch(message: Message, id: MessageId | undefined): void {
    if (message.event === "log") {
      this.observer.logLines(message.data.node, message.data.epoch, message.data.lines);
    } else if (message.event === "tick") {
      this.observer.serverTime(message.data.now);
    } else {
      for (const document of this.#documents()) document.receive(message, id);
    }
  }
}
