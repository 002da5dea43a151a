// The stream through failures of the connection.
import { beforeEach, describe, expect, it } from "vitest";
import type { Hello, Message } from "./contract";
import { FakeServer } from "./fake-server";
import { SILENCE_TIMEOUT_MS, Stream, type Connection } from "./stream";
import { EMPTY_SUBSCRIPTION, streamUrl } from "./subscription";

const hello = (resumed = false): Message => ({
  event: "hello",
  data: { resumed, replica: "r", now: "2026-11-25T03:08:02.123Z", nodes: {}, version: "1" } satisfies Hello,
});
const tick: Message = { event: "tick", data: { now: "2026-11-25T03:08:02.123Z" } };

describe("the stream", () => {
  let server: FakeServer;
  let stream: Stream;
  let received: string[];
  let connections: Connection[];

  beforeEach(() => {
    server = new FakeServer();
    received = [];
    connections = [];
    stream = new Stream(server, {
      hello: ({ resumed }) => received.push(resumed ? "continued" : "fresh"),
      resync: () => received.push("resync"),
      message: (message, id) => received.push(`${message.event} ${id?.number ?? ""}`),
      connection: (connection) => connections.push(connection),
    });
    stream.subscribe(EMPTY_SUBSCRIPTION);
  });

  it("opens fresh after it was closed, with the same subscription", () => {
    server.send(hello(), "r-5");
    stream.close();
    stream.subscribe({ ...EMPTY_SUBSCRIPTION });
    expect(server.streams.map(({ url }) => url)).toEqual(["api/events", "api/events"]);
    server.send(hello(), "r-9");
    expect(received).toEqual(["fresh", "fresh"]);
  });

  it("opens once per subscription, and starts fresh", () => {
    stream.subscribe({ ...EMPTY_SUBSCRIPTION });
    expect(server.streams.map(({ url }) => url)).toEqual(["api/events"]);
    server.send(hello(), "r-5");
    expect(received).toEqual(["fresh"]);
    expect(connections).toEqual(["live"]);
  });

  it("encodes the whole subscription in its URL", () => {
    const subscription = {
      node: "node-a",
      open: ["shop/web", "shop/api"],
      log: "all",
      beats: ["shop/web"],
      debug: true,
    };
    expect(streamUrl(subscription, "r-7")).toBe(
      "api/events?node=node-a&open=shop%2Fapi,shop%2Fweb&log=all&beats=shop%2Fweb&debug=1&since=r-7",
    );
    expect(streamUrl({ ...subscription, open: ["shop/api", "shop/web"] }, "r-7")).toBe(
      streamUrl(subscription, "r-7"),
    );
    expect(streamUrl({ ...subscription, node: null }, undefined)).not.toContain("beats");
  });

  it("switches to a second stream at its hello, from the last id on", () => {
    server.send(hello(), "r-5");
    server.send(tick, "r-8");
    stream.subscribe({ ...EMPTY_SUBSCRIPTION, node: "node-a" });
    const [first, second] = server.streams;
    expect(second?.url).toBe("api/events?node=node-a&since=r-8");
    expect(first?.closed).toBe(false);
    server.send(tick, "r-9", first);
    server.send(hello(true), "r-8", second);
    expect(first?.closed).toBe(true);
    expect(received).toEqual(["fresh", "tick 8", "tick 9", "continued"]);
  });

  it("drops a second stream if the subscription changes before its hello", () => {
    server.send(hello(), "r-5");
    stream.subscribe({ ...EMPTY_SUBSCRIPTION, node: "node-a" });
    stream.subscribe({ ...EMPTY_SUBSCRIPTION, node: "node-b" });
    expect(server.streams.map(({ closed }) => closed)).toEqual([false, true, false]);
  });

  it("lets the browser reconnect, and reports the connection as lost", () => {
    server.send(hello(), "r-5");
    server.stream.listener.disconnected(false);
    expect(connections).toEqual(["live", "lost"]);
    expect(server.streams).toHaveLength(1);
    server.send(hello(true), "r-5");
    expect(connections).toEqual(["live", "lost", "live"]);
    expect(received).toEqual(["fresh", "continued"]);
  });

  it("reopens with growing delays after the browser gives up, from the last id on", async () => {
    server.send(hello(), "r-5");
    server.stream.listener.disconnected(true);
    await server.advance(999);
    expect(server.streams).toHaveLength(1);
    await server.advance(1);
    expect(server.stream.url).toBe("api/events?since=r-5");
    server.stream.listener.disconnected(true);
    await server.advance(1999);
    expect(server.streams).toHaveLength(2);
    await server.advance(1);
    expect(server.streams).toHaveLength(3);
    server.send(hello(true), "r-6");
    expect(connections).toEqual(["live", "lost", "live"]);
    expect(received).toEqual(["fresh", "continued"]);
  });

  it("starts fresh after too long a silence", async () => {
    server.send(hello(), "r-5");
    await server.advance(SILENCE_TIMEOUT_MS);
    stream.checkLiveness();
    expect(server.streams).toHaveLength(1);
    await server.advance(1);
    stream.checkLiveness();
    expect(server.streams.map(({ url, closed }) => [url, closed])).toEqual([
      ["api/events", true],
      ["api/events", false],
    ]);
    server.send(hello(), "r-9");
    expect(received).toEqual(["fresh", "fresh"]);
  });

  it("starts fresh after sleep", () => {
    server.send(hello(), "r-5");
    stream.reopen();
    expect(server.stream.url).toBe("api/events");
    expect(server.streams[0]?.closed).toBe(true);
  });

  it("passes on a resync", () => {
    server.send(hello(), "r-5");
    server.send({ event: "resync", data: { reason: "too-old" } }, "r-6");
    expect(received).toEqual(["fresh", "resync"]);
  });
});
