// What the live part of the page needs of the outside: a stream, fetches, time. Handed in, so that tests can play
// the server and the clock.
import type { Message } from "./message";

/** An answer with a status that is not a success. */
export class HttpError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** An open stream. */
export interface Source {
  close(): void;
}

/** Who hears a stream. */
export interface Listener {
  /** One message, with its id if it has one. */
  message(message: Message, id: string): void;
  /** The connection broke; `closed` if nobody tries again by itself. */
  disconnected(closed: boolean): void;
}

/** The outside. */
export interface Ports {
  /** Opens a stream. */
  open(url: string, listener: Listener): Source;
  /** Fetches a document; rejects with `Refused`, or with what the network says. */
  get(path: string): Promise<unknown>;
  /** Runs something later; the result cancels it. */
  after(milliseconds: number, run: () => void): () => void;
  /** Milliseconds since the epoch. */
  now(): number;
}
