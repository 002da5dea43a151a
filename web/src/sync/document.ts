// One document and its life: fetched when a stream begins, changed by messages from then on, fetched again when the
// stream says so. Messages that come while a fetch is under way wait, and those that the fetched document has in it
// already are skipped.
//
//   start ─▶ loading ──fetched──▶ older than hello? ──no──▶ live ──message──▶ live
//               ▲                        │ yes: after 250 ms, 500 ms, … 2 s, five times
//               └────────────────────────┘
import { olderThanHello } from "../lib/ordering";
import { merge } from "../lib/merge";
import type { AsOfs } from "./contract";
import type { Message } from "./message";
import { isPast, type MessageId } from "./message-id";
import { Refused, type Ports } from "./ports";

/** How one kind of document is fetched and changed. */
export interface Kind<T> {
  /** Where it is. */
  readonly path: string;
  /** How far it is, per node. */
  asOf(value: T): AsOfs;
  /** The value after a message; the same value if that does not concern it. */
  apply(value: T, message: Message, fetched: AsOfs): T;
  /** Whether a node reports, where the document says so itself. */
  reporting?(value: T, node: string): boolean;
  /** Whether nothing is missing that only a fetch can bring. */
  isComplete?(value: T): boolean;
}

/** What a document depends on. */
export interface Surroundings {
  readonly ports: Ports;
  /** Where the stream began. */
  hello(): AsOfs;
  /** Whether a node reports; one that does not will not catch up with its hello. */
  reporting(node: string): boolean;
}

/** What is known of a document. */
export type Standing = "loading" | "live" | "missing" | "failing";

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 2000;
const MOST_TRIES = 5;
const REFETCH_MS = 5000;

/** A document. */
export class Document<T> {
  value: T | undefined;
  standing: Standing = "loading";
  /** Whether a fetch was ever begun. */
  started = false;
  /** What the last failed fetch said. */
  error = "";
  #waiting: [Message, MessageId | undefined][] | undefined = [];
  #fetched: AsOfs = {};
  #last: MessageId | undefined;
  #cancel: (() => void) | undefined;
  #round = 0;
  #refetched = -Infinity;

  constructor(
    private readonly kind: Kind<T>,
    private readonly around: Surroundings,
    private readonly changed: () => void,
  ) {}

  /** Fetches the document, anew if it is there already; until it is there messages wait. */
  start(): void {
    this.stop();
    this.started = true;
    this.#waiting ??= [];
    void this.#fetch(this.#round, 1);
  }

  /** Whether a fetch is under way. */
  get fetching(): boolean {
    return this.started && this.#waiting !== undefined;
  }

  /** Gives up what is under way. */
  stop(): void {
    this.#round += 1;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Takes a message of the stream. */
  take(message: Message, id: MessageId | undefined): void {
    if (isPast(id, this.#last)) return;
    if (id) this.#last = id;
    if (this.#waiting) {
      this.#waiting.push([message, id]);
      return;
    }
    this.#apply(message);
    this.#complete();
  }

  async #fetch(round: number, attempt: number): Promise<void> {
    let value: T;
    try {
      value = (await this.around.ports.get(this.kind.path)) as T;
    } catch (error) {
      if (round === this.#round) this.#failed(error, round, attempt);
      return;
    }
    // Not within the above: a mistake in showing it is no failure to fetch it.
    if (round === this.#round) this.#arrived(value, round, attempt);
  }

  #arrived(value: T, round: number, attempt: number): void {
    const asOf = this.kind.asOf(value);
    const older = olderThanHello(
      asOf,
      this.around.hello(),
      (node) => this.kind.reporting?.(value, node) ?? this.around.reporting(node),
    );
    if (older && attempt < MOST_TRIES) {
      this.#again(round, attempt);
      return;
    }
    this.value = merge(this.value, value);
    this.#fetched = asOf;
    this.standing = "live";
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const [message] of waiting) this.#apply(message);
    this.changed();
    this.#complete();
  }

  #failed(error: unknown, round: number, attempt: number): void {
    this.error = error instanceof Error ? error.message : String(error);
    this.standing = error instanceof Refused && error.status === 404 ? "missing" : "failing";
    this.changed();
    this.#again(round, attempt);
  }

  #again(round: number, attempt: number): void {
    const delay = Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), LAST_RETRY_MS);
    this.#cancel = this.around.ports.after(delay, () => void this.#fetch(round, attempt + 1));
  }

  #apply(message: Message): void {
    if (this.value === undefined) return;
    const next = this.kind.apply(this.value, message, this.#fetched);
    if (next === this.value) return;
    this.value = next;
    this.changed();
  }

  #complete(): void {
    if (this.value === undefined || (this.kind.isComplete?.(this.value) ?? true)) return;
    const now = this.around.ports.now();
    if (now - this.#refetched < REFETCH_MS) return;
    this.#refetched = now;
    this.start();
  }
}
