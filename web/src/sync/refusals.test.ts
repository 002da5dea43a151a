// Reports of refused documents and streams.
import { describe, expect, it, vi } from "vitest";
import { HttpError, type Listener, type Ports } from "./ports";
import { reportRefusals } from "./refusals";

function setUp(error?: Error) {
  const listeners: Listener[] = [];
  const ports: Ports = {
    open(_url, listener) {
      listeners.push(listener);
      return { close: () => undefined };
    },
    get: () => (error ? Promise.reject(error) : Promise.resolve("document")),
    after: () => () => undefined,
    now: () => 7,
  };
  const refused = vi.fn();
  return { ports: reportRefusals(ports, refused), listeners, refused };
}

describe("a refusal", () => {
  it.each([
    [401, 1],
    [403, 1],
    [404, 0],
    [503, 0],
  ])("of a document with status %i is reported %i times, and the fetch fails", async (status, times) => {
    const { ports, refused } = setUp(new HttpError(status, "no"));
    await expect(ports.get("api/summary")).rejects.toMatchObject({ status });
    expect(refused).toHaveBeenCalledTimes(times);
  });

  it("of a stream is reported when the browser gives up, after the stream knows", () => {
    const { ports, listeners, refused } = setUp();
    const disconnected = vi.fn();
    ports.open("api/events", { message: () => undefined, disconnected });
    listeners[0]?.disconnected(false);
    expect(refused).not.toHaveBeenCalled();
    listeners[0]?.disconnected(true);
    expect(refused).toHaveBeenCalledTimes(1);
    expect(disconnected.mock.calls).toEqual([[false], [true]]);
  });

  it("is not reported for a document that arrives", async () => {
    const { ports, refused } = setUp();
    expect(await ports.get("api/summary")).toBe("document");
    expect(ports.now()).toBe(7);
    expect(refused).not.toHaveBeenCalled();
  });
});
