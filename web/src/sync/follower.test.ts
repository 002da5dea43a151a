// Synchronization of documents: buffering, fetching, ordering, refetching.
import { beforeEach, describe, expect, it } from "vitest";
import type { Positions, Message } from "./contract";
import { FakeServer } from "./fake-server";
import { BATCH_MS, Follower } from "./follower";
import { EMPTY_SUBSCRIPTION } from "./subscription";

const NOW = "2026-11-25T03:08:02.123Z";
const at = (seq: number, epoch = "e") => ({ epoch, seq });
const hello = (seq: number, resumed = false): Message => ({
  event: "hello",
  data: { resumed, replica: "r", now: NOW, nodes: { "node-a": at(seq) }, version: "1" },
});
const summary = (seq: number, up: number, epoch = "e") => ({
  as_of: { "node-a": at(seq, epoch) },
  nodes: { "node-a": { reporting: true } },
  rows: { "shop/web": { up, flags: [] }, "shop/api": { up: 1, flags: [] } },
});
const patch = (up: number, as_of?: Positions): Message => ({
  event: "summary",
  data: { ...(as_of ? { as_of } : {}), patch: { rows: { "shop/web": { up } } } },
});
const nodePatch = (seq: number | undefined, change: unknown): Message => ({
  event: "node",
  data: { node: "node-a", ...(seq === undefined ? {} : { as_of: at(seq) }), patch: change },
});

describe("the follower", () => {
  let server: FakeServer;
  let follower: Follower;
  let logged: number;
  const up = () => follower.summary.value?.rows["shop/web"]?.up;
  const batch = () => server.advance(BATCH_MS);

  beforeEach(() => {
    server = new FakeServer();
    logged = 0;
    follower = new Follower(server, {
      batch: (run) => run(),
      documentsChanged: () => undefined,
      logLines: (_, __, lines) => (logged += lines.length),
      heartbeats: () => undefined,
      hello: () => undefined,
      serverTime: () => undefined,
      contacted: () => undefined,
      connection: () => undefined,
    });
    follower.subscribe(EMPTY_SUBSCRIPTION);
  });

  async function loadSummary(seq = 10) {
    server.send(hello(seq), "r-1");
    await server.answer("api/summary", summary(seq, 3));
  }

  it("fetches only after hello, so that no message is lost", () => {
    expect(server.pendingPaths).toEqual([]);
    server.send(hello(10), "r-1");
    expect(server.pendingPaths).toEqual(["api/summary"]);
  });

  it("buffers messages during a fetch, and applies those that are newer than the document", async () => {
    server.send(hello(10), "r-1");
    server.send(patch(2, { "node-a": at(11) }), "r-2");
    server.send(patch(1, { "node-a": at(12) }), "r-3");
    await batch();
    expect(up()).toBeUndefined();
    await server.answer("api/summary", summary(11, 2));
    expect(up()).toBe(1);
  });

  it("skips messages that the document includes", async () => {
    server.send(hello(10), "r-1");
    server.send(patch(2, { "node-a": at(11) }), "r-2");
    await batch();
    await server.answer("api/summary", summary(12, 5));
    expect(up()).toBe(5);
  });

  it("always applies messages without a position, such as counters and buckets", async () => {
    server.send(hello(10), "r-1");
    server.send(patch(7), "r-2");
    await batch();
    await server.answer("api/summary", summary(12, 5));
    expect(up()).toBe(7);
  });

  it("applies several messages of one position after the fetched one", async () => {
    await loadSummary();
    server.send(patch(2, { "node-a": at(11) }), "r-2");
    server.send(patch(1, { "node-a": at(11) }), "r-3");
    await batch();
    expect(up()).toBe(1);
  });

  it("retries while the document is older than hello", async () => {
    server.send(hello(10), "r-1");
    await server.answer("api/summary", summary(9, 3));
    expect(up()).toBeUndefined();
    await server.advance(249);
    expect(server.pendingPaths).toEqual([]);
    await server.advance(1);
    await server.answer("api/summary", summary(10, 4));
    expect(up()).toBe(4);
  });

  it("retries while the document is of another epoch", async () => {
    server.send(hello(10), "r-1");
    await server.answer("api/summary", summary(99, 3, "old"));
    await server.advance(250);
    await server.answer("api/summary", summary(10, 4));
    expect(up()).toBe(4);
  });

  it("accepts an old document after five attempts", async () => {
    server.send(hello(10), "r-1");
    for (let attempt = 1; attempt < 5; attempt++) {
      await server.answer("api/summary", summary(9, 3));
      expect(up()).toBeUndefined();
      await server.advance(2000);
    }
    await server.answer("api/summary", summary(9, 3));
    expect(up()).toBe(3);
  });

  it("does not wait for a node that does not report", async () => {
    await loadSummary();
    follower.reopen();
    server.send(hello(50), "r-9");
    const silent = { ...summary(10, 3), nodes: { "node-a": { reporting: false } } };
    await server.answer("api/summary", silent);
    expect(follower.summary.status).toBe("live");
    expect(follower.summary.value?.nodes["node-a"]?.reporting).toBe(false);
    expect(server.pendingPaths).toEqual([]);
  });

  it("refetches everything on resync and keeps the old state meanwhile", async () => {
    await loadSummary();
    const untouched = follower.summary.value?.rows["shop/api"];
    server.send({ event: "resync", data: { reason: "too-old" } }, "r-2");
    expect(up()).toBe(3);
    expect(server.pendingPaths).toEqual(["api/summary"]);
    await server.answer("api/summary", summary(20, 2));
    expect(up()).toBe(2);
    // Unchanged parts keep their identity and do not flash.
    expect(follower.summary.value?.rows["shop/api"]).toBe(untouched);
  });

  it("fetches once when another replica sends a resync", async () => {
    await loadSummary();
    server.send(hello(10), "r-2");
    server.send({ event: "resync", data: { reason: "other-replica" } }, "r-2");
    expect(server.pendingPaths).toEqual(["api/summary"]);
    await server.answer("api/summary", summary(10, 2));
    expect(up()).toBe(2);
    expect(server.pendingPaths).toEqual([]);
  });

  it("does not refetch after a resumed reconnect", async () => {
    await loadSummary();
    server.stream.listener.disconnected(false);
    server.send(hello(15, true), "r-1");
    expect(server.pendingPaths).toEqual([]);
    server.send(patch(1, { "node-a": at(14) }), "r-2");
    await batch();
    expect(up()).toBe(1);
  });

  it("fetches only what a new subscription adds", async () => {
    await loadSummary();
    follower.subscribe({ ...EMPTY_SUBSCRIPTION, node: "node-a" });
    expect(server.pendingPaths).toEqual([]);
    server.send(hello(10, true), "r-1");
    expect(server.pendingPaths).toEqual(["api/state/node-a"]);
    await server.answer("api/state/node-a", { as_of: at(10), frontends: { "shop/web": { state: "up" } } });
    server.send(nodePatch(11, { frontends: { "shop/web": { state: "down" } } }), "r-2");
    await batch();
    expect(follower.node?.value?.frontends["shop/web"]?.state).toBe("down");
  });

  it("does not restart a fetch in progress when the subscription changes again", async () => {
    await loadSummary();
    follower.subscribe({ ...EMPTY_SUBSCRIPTION, node: "node-a" });
    server.send(hello(10, true), "r-1");
    follower.subscribe({ ...EMPTY_SUBSCRIPTION, node: "node-a", open: ["shop/web"] });
    server.send(hello(10, true), "r-1");
    expect(server.pendingPaths).toEqual(["api/state/node-a", "api/frontend/shop/web"]);
  });

  it("skips messages that the second stream replays", async () => {
    await loadSummary();
    const first = server.stream;
    follower.subscribe({ ...EMPTY_SUBSCRIPTION, node: "node-a" });
    server.send(patch(2, { "node-a": at(11) }), "r-2", first);
    server.send(patch(1, { "node-a": at(12) }), "r-3", first);
    await batch();
    server.send(hello(12, true), "r-1");
    const upCounts: (number | undefined)[] = [];
    server.send(patch(2, { "node-a": at(11) }), "r-2");
    await batch();
    upCounts.push(up());
    server.send(patch(1, { "node-a": at(12) }), "r-3");
    server.send(patch(0, { "node-a": at(13) }), "r-4");
    await batch();
    upCounts.push(up());
    expect(upCounts).toEqual([1, 0]);
  });

  it("marks a document as missing after a 404, and retries", async () => {
    await loadSummary();
    follower.subscribe({ ...EMPTY_SUBSCRIPTION, open: ["shop/gone"] });
    server.send(hello(10, true), "r-1");
    await server.refuse("api/frontend/shop/gone", 404);
    expect(follower.pages.get("shop/gone")?.status).toBe("missing");
    await server.advance(2000);
    expect(server.pendingPaths).toEqual(["api/frontend/shop/gone"]);
  });

  it("retries after a failed fetch", async () => {
    server.send(hello(10), "r-1");
    await server.refuse("api/summary", 503);
    expect(follower.summary.status).toBe("failing");
    await server.advance(250);
    await server.answer("api/summary", summary(10, 3));
    expect(follower.summary.status).toBe("live");
    expect(up()).toBe(3);
  });

  it("passes on log lines without any document", async () => {
    await loadSummary();
    const line = { time: NOW, level: "info", name: "x", attributes: [], seq: 1 } as const;
    server.send({ event: "log", data: { node: "node-a", epoch: "e", lines: [line, line] } }, "r-2");
    await batch();
    expect(logged).toBe(2);
  });
});

describe("a frontend page", () => {
  let server: FakeServer;
  let follower: Follower;
  const page = () => follower.pages.get("shop/web")?.value;
  const members = (...names: string[]) =>
    Object.fromEntries(names.map((name) => [name, { address: "10.0.0.1", effective: 10 }]));
  const cut = (...names: string[]) => ({
    frontends: { "shop/web": { pools: { primary: { members: members(...names) } } } },
    backends: Object.fromEntries(
      names.map((name) => [name, { state: "up", check: "shop/http", history: [] }]),
    ),
    health_checks: { "shop/http": { rise: 2 } },
  });

  beforeEach(async () => {
    server = new FakeServer();
    const nothing = () => undefined;
    follower = new Follower(server, {
      batch: (run) => run(),
      documentsChanged: nothing,
      logLines: nothing,
      heartbeats: nothing,
      hello: nothing,
      serverTime: nothing,
      contacted: nothing,
      connection: nothing,
    });
    follower.subscribe({ ...EMPTY_SUBSCRIPTION, open: ["shop/web"] });
    server.send(hello(10), "r-1");
    await server.answer("api/summary", summary(10, 3));
    await server.answer("api/frontend/shop/web", {
      as_of: { "node-a": at(10) },
      nodes: { "node-a": cut("shop/web-1") },
      objects: { "Frontend shop/web": { generation: 1, conditions: { Ready: {} } } },
    });
  });

  async function send(message: Message, number: number) {
    server.send(message, `r-${number}`);
    await server.advance(BATCH_MS);
  }

  it("applies only the part of a message that concerns its frontend", async () => {
    const otherFrontend = { "shop/api": { state: "down" } };
    const ownFrontend = {
      "shop/web": { pools: { primary: { members: { "shop/web-1": { effective: 0 } } } } },
    };
    const backends = { "shop/web-1": { state: "down" }, "shop/api-1": { state: "down" } };
    await send(nodePatch(11, { frontends: { ...otherFrontend, ...ownFrontend }, backends }), 2);
    const node = page()?.nodes["node-a"];
    expect(Object.keys(node?.frontends ?? {})).toEqual(["shop/web"]);
    expect(node?.frontends["shop/web"]?.pools["primary"]?.members["shop/web-1"]?.effective).toBe(0);
    expect(node?.backends).toEqual({ "shop/web-1": { state: "down", check: "shop/http", history: [] } });
  });

  it("is unchanged by messages about other objects", async () => {
    const before = page();
    await send(nodePatch(11, { frontends: { "shop/api": { state: "down" } } }), 2);
    await send({ event: "object", data: { key: "Backend shop/api-1", object: {} as never } }, 3);
    expect(page()).toBe(before);
  });

  it("adds a node that starts to have the frontend", async () => {
    await send({ event: "node", data: { node: "node-b", patch: cut("shop/web-1") } }, 2);
    expect(page()?.nodes["node-b"]?.backends["shop/web-1"]?.state).toBe("up");
  });

  it("adds a new member with its backend", async () => {
    await send(nodePatch(11, cut("shop/web-1", "shop/web-2")), 2);
    expect(Object.keys(page()?.nodes["node-a"]?.backends ?? {})).toEqual(["shop/web-1", "shop/web-2"]);
    expect(server.pendingPaths).toEqual([]);
  });

  it("refetches instead of using an incomplete backend", async () => {
    const frontends = { "shop/web": { pools: { primary: { members: members("shop/web-2") } } } };
    await send(nodePatch(11, { frontends, backends: { "shop/web-2": { state: "down" } } }), 2);
    expect(page()?.nodes["node-a"]?.backends["shop/web-2"]).toBeUndefined();
    expect(server.pendingPaths).toEqual(["api/frontend/shop/web"]);
  });

  it("refetches when the backend of a member is missing", async () => {
    await send(
      nodePatch(11, {
        frontends: { "shop/web": { pools: { primary: { members: members("shop/api-1") } } } },
      }),
      2,
    );
    expect(server.pendingPaths).toEqual(["api/frontend/shop/web"]);
  });

  it("replaces objects as a whole, and removes deleted ones", async () => {
    const object = { generation: 2, conditions: {} } as never;
    await send({ event: "object", data: { key: "Frontend shop/web", object } }, 2);
    expect(page()?.objects["Frontend shop/web"]).toEqual({ generation: 2, conditions: {} });
    await send({ event: "object", data: { key: "Backend shop/web-1", object } }, 3);
    await send({ event: "object", data: { key: "HealthCheck shop/http", object } }, 4);
    await send({ event: "object", data: { key: "Frontend shop/web" } }, 5);
    expect(Object.keys(page()?.objects ?? {})).toEqual(["Backend shop/web-1", "HealthCheck shop/http"]);
  });

  it("is dropped when it is closed", async () => {
    follower.subscribe(EMPTY_SUBSCRIPTION);
    server.send(hello(10, true), "r-1");
    expect(follower.pages.size).toBe(0);
    await send(nodePatch(11, { frontends: { "shop/web": { state: "down" } } }), 2);
    expect(server.pendingPaths).toEqual([]);
  });
});
