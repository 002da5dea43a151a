// The one stream of the page, whatever becomes of the connection. It is opened anew when something else is to be
// shown, when the connection is closed for good, when nothing was heard for too long, and after sleep.
//
//   connecting ──hello──▶ live ──broken──▶ lost ──hello──▶ live
//                           │ other parameters: a second stream with `since`; at its hello the first one is closed
import type { Hello, Message } from "./message";
import { parseId, type MessageId } from "./message-id";
import type { Ports, Source } from "./ports";
import { NOTHING, streamUrl, type Wanted } from "./subscription";

/** A `tick` comes every 15 s: who heard nothing for this long hears nothing any more. */
export const SILENT_AFTER_MS = 35_000;
const REOPEN_MS = [1000, 2000, 5000, 10_000] as const;

/** How the connection is. */
export type Connection = "connecting" | "live" | "lost";

/** Who hears the stream. */
export interface Hearer {
  /** A stream began; unless it is `resumed`, it is not the continuation of what was heard before. */
  hello(hello: Hello): void;
  /** Everything is to be fetched again. */
  resync(): void;
  /** Any other message. */
  message(message: Message, id: MessageId | undefined): void;
  /** The connection is another one. */
  connection(connection: Connection): void;
}

/** The stream. */
export class Stream {
  #wanted: Wanted = NOTHING;
  #source: Source | undefined;
  #successor: Source | undefined;
  #lastId: string | undefined;
  #heard: number;
  #failures = 0;
  #cancel: (() => void) | undefined;
  #connection: Connection = "connecting";

  constructor(
    private readonly ports: Ports,
    private readonly hearer: Hearer,
  ) {
    this.#heard = ports.now();
  }

  /** Shows something else; the first call opens the stream. */
  show(wanted: Wanted): void {
    const begun = this.#source !== undefined || this.#cancel !== undefined;
    if (begun && streamUrl(wanted, undefined) === streamUrl(this.#wanted, undefined)) return;
    this.#wanted = wanted;
    this.#open(this.#lastId);
  }

  /** To be called now and then: opens a fresh stream if this one is dead. */
  watch(): void {
    if (this.ports.now() - this.#heard > SILENT_AFTER_MS) this.renew();
  }

  /** Opens a fresh stream: what was missed is not known. */
  renew(): void {
    this.#lastId = undefined;
    this.#open(undefined);
  }

  /** Ends everything. */
  close(): void {
    this.#cancel?.();
    this.#source?.close();
    this.#successor?.close();
    this.#source = this.#successor = this.#cancel = undefined;
  }

  #open(since: string | undefined): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#successor?.close();
    if (since === undefined) this.#source?.close();
    this.#heard = this.ports.now();
    const mine = () => source === this.#successor || source === this.#source;
    const source: Source = this.ports.open(streamUrl(this.#wanted, since), {
      message: (message, id) => {
        if (!mine()) return;
        if (message.event === "hello") this.#begun(source, message.data);
        this.#hear(message, id);
      },
      lost: (closed) => {
        if (mine()) this.#lost(source, closed);
      },
    });
    if (since === undefined) this.#source = source;
    this.#successor = since === undefined ? undefined : source;
  }

  #begun(source: Source, hello: Hello): void {
    if (source === this.#successor) {
      this.#source?.close();
      this.#source = source;
      this.#successor = undefined;
    }
    this.#failures = 0;
    this.#become("live");
    this.hearer.hello(hello);
  }

  #hear(message: Message, id: string): void {
    this.#heard = this.ports.now();
    // The first stream's ids are behind those of its successor only until that one's hello.
    if (id) this.#lastId = id;
    if (message.event === "resync") this.hearer.resync();
    else if (message.event !== "hello") this.hearer.message(message, parseId(id));
  }

  #lost(source: Source, closed: boolean): void {
    if (source === this.#source || this.#source === undefined) this.#become("lost");
    if (!closed) return;
    source.close();
    if (source === this.#source) this.#source = undefined;
    if (source === this.#successor) this.#successor = undefined;
    const delay = REOPEN_MS[Math.min(this.#failures, REOPEN_MS.length - 1)] ?? 0;
    this.#failures += 1;
    this.#cancel?.();
    this.#cancel = this.ports.after(delay, () => this.#open(this.#lastId));
  }

  #become(connection: Connection): void {
    if (connection === this.#connection) return;
    this.#connection = connection;
    this.hearer.connection(connection);
  }
}
