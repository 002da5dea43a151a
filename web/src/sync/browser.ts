// The ports of a browser: EventSource, fetch and timers. URLs are relative to the page's directory.
import type { Message } from "./contract";
import { HttpError, type Ports } from "./ports";

const EVENTS = [
  "hello",
  "summary",
  "node",
  "object",
  "log",
  "beats",
  "tick",
  "resync",
] as const satisfies readonly Message["event"][];

export const browser: Ports = {
  open(url, listener) {
    const source = new EventSource(url);
    for (const event of EVENTS) {
      source.addEventListener(event, ({ data, lastEventId }: MessageEvent<string>) => {
        const value: unknown = JSON.parse(data);
        listener.message({ event, data: value } as Message, lastEventId);
      });
    }
    source.addEventListener("error", () => listener.disconnected(source.readyState === EventSource.CLOSED));
    return source;
  },

  async get(path) {
    const answer = await fetch(path, { cache: "no-store", headers: { accept: "application/json" } });
    if (!answer.ok) throw new HttpError(answer.status, `${path}: ${answer.status} ${answer.statusText}`);
    return (await answer.json()) as unknown;
  },

  after(milliseconds, run) {
    const timer = setTimeout(run, milliseconds);
    return () => clearTimeout(timer);
  },

  now: () => Date.now(),
};
