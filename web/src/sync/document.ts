// One document and its life: fetched when a stream begins, changed by messages from then on, fetched again when the
// stream says so. Messages that come while a fetch is under way wait, and those that the fetched document has in it
// already are skipped.
//
//   start ─▶ loading ──fetched──▶ older than hello? ──no──▶ live ──message──▶ live
//               ▲                        │ yes: after 250 ms, 500 ms, … 2 s, five times
//               └────────────────────────┘
import { isOlderThanHello } from "../lib/ordering";
import { merge } from "../lib/merge";
import type { AsOfs } from "./contract";
import type { Message } from "./message";
import { isPast, type MessageId } from "./message-id";
import { HttpError, type Ports } from "./ports";

/** How one kind of document is fetched and changed. */
export interface DocumentKind<T> {
  /** Where it is. */
  readonly path: string;
  /** How far it is, per node. */
  asOf(value: T): AsOfs;
  /** The value after a message; the same value if that does not concern it. */
  apply(value: T, message: Message, fetchedAsOf: AsOfs): T;
  /** Whether a node reports, where the document says so itself. */
  reporting?(value: T, node: string): boolean;
  /** Whether nothing is missing that only a fetch can bring. */
  isComplete?(value: T): boolean;
}

/** What a document depends on. */
export interface DocumentContext {
  readonly ports: Ports;
  /** Where the stream began. */
  hello(): AsOfs;
  /** Whether a node reports; one that does not will not catch up with its hello. */
  reporting(node: string): boolean;
}

/** What is known of a document. */
export type DocumentStatus = "loading" | "live" | "missing" | "failing";

const MIN_RETRY_MS = 250;
const MAX_RETRY_MS = 2000;
const MAX_ATTEMPTS = 5;
const MIN_REFETCH_INTERVAL_MS = 5000;

/** A document. */
export class Document<T> {
  value: T | undefined;
  status: DocumentStatus = "loading";
  /** Whether a fetch was ever begun. */
  started = false;
  /** What the last failed fetch said. */
  error = "";
  #buffered: [Message, MessageId | undefined][] | undefined = [];
  #fetchedAsOf: AsOfs = {};
  #lastId: MessageId | undefined;
  #cancel: (() => void) | undefined;
  #fetchId = 0;
  #refetchedAt = -Infinity;

  constructor(
    private readonly kind: DocumentKind<T>,
    private readonly context: DocumentContext,
    private readonly changed: () => void,
  ) {}

  /** Fetches the document, anew if it is there already; until it is there messages wait. */
  start(): void {
    this.stop();
    this.started = true;
    this.#buffered ??= [];
    void this.#fetch(this.#fetchId, 1);
    this.changed();
  }

  /** True from the start of a fetch until its value is taken over. */
  get fetching(): boolean {
    return this.started && this.#buffered !== undefined;
  }

  /** True while the document waits for its value, and the last fetch has not failed. */
  get loading(): boolean {
    return this.#buffered !== undefined && (this.status === "loading" || this.status === "live");
  }

  /** Gives up what is under way. */
  stop(): void {
    this.#fetchId += 1;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Takes a message of the stream. */
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
    // Not within the above: a mistake in showing it is no failure to fetch it.
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
