// A document of the server: fetched when a stream starts, then updated by messages, and refetched on a resync. Messages
// are buffered during a fetch; those that the fetched document includes are skipped.
//
//   start ─▶ loading ──fetched──▶ older than hello? ──no──▶ live ──message──▶ live
//               ▲                        │ yes: after 250 ms, 500 ms, … 2 s, five attempts
//               └────────────────────────┘
import { isOlderThanHello } from "../lib/ordering";
import { merge } from "../lib/merge";
import type { Positions, Message } from "./contract";
import { isPast, type MessageId } from "./message-id";
import { HttpError, type Ports } from "./ports";

/** Fetching and updating of one kind of document. */
export interface DocumentKind<T> {
  readonly path: string;
  /** The positions of the document by node. */
  asOf(value: T): Positions;
  /** Applies a message. Returns the same value if the message does not concern the document. */
  apply(value: T, message: Message, fetchedAsOf: Positions): T;
  /** True if the node reports, according to the document itself. */
  reporting?(value: T, node: string): boolean;
  /** False if a part is missing that only a fetch can supply. */
  isComplete?(value: T): boolean;
}

/** State that is shared by all documents. */
export interface DocumentContext {
  readonly ports: Ports;
  /** The positions at the start of the stream. */
  hello(): Positions;
  /** False for a node that does not report: it does not catch up with its position in the hello. */
  reporting(node: string): boolean;
}

/** State of a document: `missing` after a 404, `failing` after any other error. */
export type DocumentStatus = "loading" | "live" | "missing" | "failing";

const MIN_RETRY_MS = 250;
const MAX_RETRY_MS = 2000;
const MAX_ATTEMPTS = 5;
const MIN_REFETCH_INTERVAL_MS = 5000;

export class Document<T> {
  value: T | undefined;
  status: DocumentStatus = "loading";
  /** Set once a fetch has been started. */
  started = false;
  /** Message of the last failed fetch. */
  error = "";
  #buffered: [Message, MessageId | undefined][] | undefined = [];
  #fetchedAsOf: Positions = {};
  #lastId: MessageId | undefined;
  #cancel: (() => void) | undefined;
  #fetchId = 0;
  #refetchedAt = -Infinity;

  constructor(
    private readonly kind: DocumentKind<T>,
    private readonly context: DocumentContext,
    private readonly changed: () => void,
  ) {}

  /** Fetches the document, or fetches it again. Messages are buffered until the value arrives. */
  start(): void {
    this.stop();
    this.started = true;
    this.#buffered ??= [];
    void this.#fetch(this.#fetchId, 1);
    this.changed();
  }

  /** True from the start of a fetch until its value is in place. */
  get fetching(): boolean {
    return this.started && this.#buffered !== undefined;
  }

  /** True while the value is awaited and the last fetch has not failed. */
  get loading(): boolean {
    return this.#buffered !== undefined && (this.status === "loading" || this.status === "live");
  }

  /** Cancels the fetch or the retry in progress. */
  stop(): void {
    this.#fetchId += 1;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Applies or buffers a message of the stream. */
  receive(message: Message, id: MessageId | undefined): void {
    if (isPast(id, this.#lastId)) return;
    if (id) this.#lastId = id;
    if (this.#buffered) {
      this.#buffered.push([message, id]);
      return;
    }
    this.#applyMessage(message);
    this.#refetchIfIncomplete();
  }

  async #fetch(fetchId: number, attempt: number): Promise<void> {
    let value: T;
    try {
      value = (await this.context.ports.get(this.kind.path)) as T;
    } catch (error) {
      if (fetchId === this.#fetchId) this.#fetchFailed(error, fetchId, attempt);
      return;
    }
    // Outside of the try block: an error in showing the value is not a failed fetch.
    if (fetchId === this.#fetchId) this.#fetchSucceeded(value, fetchId, attempt);
  }

  #fetchSucceeded(value: T, fetchId: number, attempt: number): void {
    const asOf = this.kind.asOf(value);
    const older = isOlderThanHello(
      asOf,
      this.context.hello(),
      (node) => this.kind.reporting?.(value, node) ?? this.context.reporting(node),
    );
    if (older && attempt < MAX_ATTEMPTS) {
      this.#retry(fetchId, attempt);
      return;
    }
    this.value = merge(this.value, value);
    this.#fetchedAsOf = asOf;
    this.status = "live";
    const buffered = this.#buffered ?? [];
    this.#buffered = undefined;
    for (const [message] of buffered) this.#applyMessage(message);
    this.changed();
    this.#refetchIfIncomplete();
  }

  #fetchFailed(error: unknown, fetchId: number, attempt: number): void {
    this.error = error instanceof Error ? error.message : String(error);
    this.status = error instanceof HttpError && error.status === 404 ? "missing" : "failing";
    this.changed();
    this.#retry(fetchId, attempt);
  }

  #retry(fetchId: number, attempt: number): void {
    const delay = Math.min(MIN_RETRY_MS * 2 ** (attempt - 1), MAX_RETRY_MS);
    this.#cancel = this.context.ports.after(delay, () => void this.#fetch(fetchId, attempt + 1));
  }

  #applyMessage(message: Message): void {
    if (this.value === undefined) return;
    const next = this.kind.apply(this.value, message, this.#fetchedAsOf);
    if (next === this.value) return;
    this.value = next;
    this.changed();
  }

  #refetchIfIncomplete(): void {
    if (this.value === undefined || (this.kind.isComplete?.(this.value) ?? true)) return;
    const now = this.context.ports.now();
    if (now - this.#refetchedAt < MIN_REFETCH_INTERVAL_MS) return;
    this.#refetchedAt = now;
    this.start();
  }
}
