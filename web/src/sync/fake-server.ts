// A server and a clock for tests: the test sends messages, responds to fetches, and advances the time.
import type { Message } from "./contract";
import { HttpError, type Listener, type Ports } from "./ports";

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

  /** Paths of fetches without a response. */
  get pendingPaths(): string[] {
    return this.#fetches.map(({ path }) => path);
  }

  /** Responds to the oldest fetch of a path. */
  async answer(path: string, value: unknown): Promise<void> {
    this.#takeFetch(path).respond(structuredClone(value));
    await flushPromises();
  }

  /** Responds to it with an error status. */
  async refuse(path: string, status: number): Promise<void> {
    this.#takeFetch(path).reject(new HttpError(status, `${path}: ${status}`));
    await flushPromises();
  }

  /** Advances the clock and runs the timers that are due. */
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
      throw new Error(`${path} was not requested, but ${this.pendingPaths.join(", ") || "nothing"}`);
    this.#fetches = this.#fetches.filter((candidate) => candidate !== fetch);
    return fetch;
  }
}

// Runs pending promise callbacks.
async function flushPromises(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve();
}
