// The outside as a browser has it: EventSource, fetch, timers. URLs are relative to the page's directory.
import { EVENTS, type Message } from "./message";
import { HttpError, type Ports } from "./ports";

/** The ports of a browser. */
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
