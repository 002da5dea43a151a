// External dependencies of the sync: a stream, fetches and time. Passed in, so that tests can replace the server and
// the clock.
import type { Message } from "./contract";

/** A response with an error status. */
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

/** Receiver of a stream. */
export interface Listener {
  /** A message, with its id or `""`. */
  message(message: Message, id: string): void;
  /** The connection broke; `closed` if the stream does not reconnect by itself. */
  disconnected(closed: boolean): void;
}

export interface Ports {
  /** Opens a stream. */
  open(url: string, listener: Listener): Source;
  /** Fetches a document. Rejects with `HttpError`, or with the error of the network. */
  get(path: string): Promise<unknown>;
  /** Calls `run` later. The result cancels the call. */
  after(milliseconds: number, run: () => void): () => void;
  /** Milliseconds since the epoch. */
  now(): number;
}
