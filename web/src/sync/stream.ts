// The stream of the page. Reopened when the subscription changes, when the browser gives up on the connection, after too
// long a silence, and after sleep.
//
//   connecting ──hello──▶ live ──break──▶ lost ──hello──▶ live
//                           │ new subscription: a second stream with `since`; at its hello the first one is closed
import type { Hello, Message } from "./contract";
import { parseId, type MessageId } from "./message-id";
import type { Ports, Source } from "./ports";
import { EMPTY_SUBSCRIPTION, streamUrl, type Subscription } from "./subscription";

/** A `tick` comes every 15 s, so a stream that is silent for this long is dead. */
export const SILENCE_TIMEOUT_MS = 35_000;
const REOPEN_DELAYS_MS = [1000, 2000, 5000, 10_000] as const;

/** State of the connection. */
export type Connection = "connecting" | "live" | "lost";

/** Receiver of the stream. */
export interface StreamHandler {
  /** A stream started. Unless `resumed`, it does not continue the previous one. */
  hello(hello: Hello): void;
  /** All documents must be refetched. */
  resync(): void;
  /** Any other message. */
  message(message: Message, id: MessageId | undefined): void;
  /** The new state of the connection. */
  connection(connection: Connection): void;
}

export class Stream {
  #subscription: Subscription = EMPTY_SUBSCRIPTION;
  #source: Source | undefined;
  #successor: Source | undefined;
  #lastId: string | undefined;
  #lastMessageAt: number;
  #failures = 0;
  #cancel: (() => void) | undefined;
  #connection: Connection = "connecting";

  constructor(
    private readonly ports: Ports,
    private readonly handler: StreamHandler,
  ) {
    this.#lastMessageAt = ports.now();
  }

  /** Changes the subscription. The first call opens the stream. */
  subscribe(subscription: Subscription): void {
    const started = this.#source !== undefined || this.#cancel !== undefined;
    if (started && streamUrl(subscription, undefined) === streamUrl(this.#subscription, undefined)) return;
    this.#subscription = subscription;
    this.#open(this.#lastId);
  }

  /** Opens a fresh stream if the present one is dead. Must be called regularly. */
  checkLiveness(): void {
    if (this.ports.now() - this.#lastMessageAt > SILENCE_TIMEOUT_MS) this.reopen();
  }

  /** Opens a fresh stream, without a replay of missed messages. */
  reopen(): void {
    this.#lastId = undefined;
    this.#open(undefined);
  }

  /** Closes the stream. A later subscription opens a fresh one. */
  close(): void {
    this.#cancel?.();
    this.#source?.close();
    this.#successor?.close();
    this.#source = this.#successor = this.#cancel = this.#lastId = undefined;
  }

  #open(since: string | undefined): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#successor?.close();
    if (since === undefined) this.#source?.close();
    this.#lastMessageAt = this.ports.now();
    const isCurrent = () => source === this.#successor || source === this.#source;
    const source: Source = this.ports.open(streamUrl(this.#subscription, since), {
      message: (message, id) => {
        if (!isCurrent()) return;
        if (message.event === "hello") this.#opened(source, message.data);
        this.#receive(message, id);
      },
      disconnected: (closed) => {
        if (isCurrent()) this.#disconnected(source, closed);
      },
    });
    if (since === undefined) this.#source = source;
    this.#successor = since === undefined ? undefined : source;
  }

  #opened(source: Source, hello: Hello): void {
    if (source === this.#successor) {
      this.#source?.close();
      this.#source = source;
      this.#successor = undefined;
    }
    this.#failures = 0;
    this.#setConnection("live");
    this.handler.hello(hello);
  }

  #receive(message: Message, id: string): void {
    this.#lastMessageAt = this.ports.now();
    // Until the successor's hello, only the first stream sends ids.
    if (id) this.#lastId = id;
    if (message.event === "resync") this.handler.resync();
    else if (message.event !== "hello") this.handler.message(message, parseId(id));
  }

  #disconnected(source: Source, closed: boolean): void {
    if (source === this.#source || this.#source === undefined) this.#setConnection("lost");
    if (!closed) return;
    source.close();
    if (source === this.#source) this.#source = undefined;
    if (source === this.#successor) this.#successor = undefined;
    const delay = REOPEN_DELAYS_MS[Math.min(this.#failures, REOPEN_DELAYS_MS.length - 1)] ?? 0;
    this.#failures += 1;
    this.#cancel?.();
    this.#cancel = this.ports.after(delay, () => this.#open(this.#lastId));
  }

  #setConnection(connection: Connection): void {
    if (connection === this.#connection) return;
    this.#connection = connection;
    this.handler.connection(connection);
  }
}
