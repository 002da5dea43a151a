// A server and a clock for tests: streams that say what the test says, fetches that wait to be answered, time that
// passes when the test lets it.
import type { Message } from "./message";
import { HttpError, type Listener, type Ports } from "./ports";

/** A stream that was opened. */
export interface FakeStream {
  readonly url: string;
  readonly listener: Listener;
  closed: boolean;
}

interface Fetch {
  readonly path: string;
  readonly respond: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** The server and the clock. */
export class FakeServer implements Ports {
  readonly streams: FakeStream[] = [];
  #fetches: Fetch[] = [];
  #timers: { at: number; run: () => void }[] = [];
  #now = 1_000_000;

  open(url: string, listener: Listener): { close(): void } {
    const stream: FakeStream = { url, listener, closed: false };
    this.streams.push(stream);
    return { close: () => (stream.closed = true) };
  }

  get(path: string): Promise<unknown> {
    return new Promise((respond, reject) => this.#fetches.push({ path, respond, reject }));
  }

  after(milliseconds: number, run: () => void): () => void {
    const timer = { at: this.#now + milliseconds, run };
    this.#timers.push(timer);
    return () => (this.#timers = this.#timers.filter((pending) => pending !== timer));
  }

  now(): number {
    return this.#now;
  }

  /** The newest stream. */
  get stream(): FakeStream {
    const stream = this.streams.at(-1);
    if (!stream) throw new Error("no stream was opened");
    return stream;
  }

  /** Sends a message on a stream, by default the newest. */
  send(message: Message, id = "", stream = this.stream): void {
    if (!stream.closed) stream.listener.message(message, id);
  }

  /** The paths that wait for an answer. */
  get pendingPaths(): string[] {
    return this.#fetches.map(({ path }) => path);
  }

  /** Answers the oldest fetch of a path. */
  async answer(path: string, value: unknown): Promise<void> {
    this.#takeFetch(path).respond(structuredClone(value));
    await flushPromises();
  }

  /** Refuses it with a status. */
  async refuse(path: string, status: number): Promise<void> {
    this.#takeFetch(path).reject(new HttpError(status, `${path}: ${status}`));
    await flushPromises();
  }

  /** Lets time pass. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
      await flushPromises();
    }
    this.#now = end;
  }

  #takeFetch(path: string): Fetch {
    const fetch = this.#fetches.find((pending) => pending.path === path);
    if (!fetch)
      throw new Error(`${path} was not asked for, but ${this.pendingPaths.join(", ") || "nothing"}`);
    this.#fetches = this.#fetches.filter((candidate) => candidate !== fetch);
    return fetch;
  }
}

// Lets what hangs on a promise run.
async function flushPromises(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve();
}
