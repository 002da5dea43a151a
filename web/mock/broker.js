// What the clients are sent: a ring of numbered messages, and per client the part that it asked for.
import { difference } from "./merge-patch.js";
import * as brief from "./summary-parts.js";
import * as documents from "./documents.js";

/**
 * @typedef {import("./fleet-model.js").World} World
 * @typedef {import("../src/sync/contract").Summary} Summary
 * @typedef {import("../src/sync/message").Line} Line
 * @typedef {import("../src/sync/contract").AsOf} AsOf
 * @typedef {{ node: string | null, open: string[], log: string | null, beats: string[], since: string | null }} Asked
 * @typedef {{ asked: Asked, write: (text: string) => void, close: () => void }} Client
 * @typedef {{ number: number, at: number, event: string, for: (asked: Asked) => unknown }} Entry
 */

const RING_MS = 30_000;
const RING_MOST = 2000;

/** The broker. */
export class Broker {
  replica = Math.floor(Math.random() * 2 ** 52).toString(16);
  version = "0.3.0";
  number = 0;
  /** @type {Entry[]} */
  ring = [];
  /** @type {Set<Client>} */
  clients = new Set();
  /** @type {Record<string, import("../src/sync/contract").Transition>} */
  transitions = {};
  /** @type {Record<string, import("../src/sync/contract").Transition>} the same as the clients have it */
  told = {};
  /** @type {Record<string, import("../src/sync/contract").NodeHead>} */
  heads = {};
  /** @type {Record<string, import("../src/sync/contract").Row>} */
  rows = {};
  /** @type {Pick<Summary, "strip" | "totals" | "problems" | "kubernetes">} */
  rest;

  /** @param {World} world */
  constructor(world) {
    this.world = world;
    for (const name of world.nodes.keys()) this.heads[name] = brief.nodeHead(world, name);
    for (const name of world.frontends.keys()) this.rows[name] = brief.row(world, name);
    this.rest = this.#rest();
  }

  /** @returns {import("../src/sync/contract").AsOfs} */
  asOfs() {
    /** @type {Record<string, AsOf>} */
    const of = {};
    for (const [name, { epoch, seq }] of this.world.nodes) of[name] = { epoch, seq };
    return of;
  }

  /** @returns {Summary} */
  summary() {
    const selector = "app.kubernetes.io/name=maglev,app.kubernetes.io/component=maglevd";
    return {
      as_of: this.asOfs(),
      now: new Date().toISOString(),
      controller: this.world.controller,
      looked_for: {
        namespace: "maglev-system",
        selector,
        command: `kubectl --namespace maglev-system get pods --selector ${selector} --output wide`,
      },
      nodes: this.heads,
      rows: this.rows,
      transitions: this.transitions,
      ...this.rest,
    };
  }

  /**
   * @param {string} frontend
   * @returns {import("../src/sync/contract").FrontendPage}
   */
  page(frontend) {
    /** @type {Record<string, import("../src/sync/contract").NodeCut>} */
    const nodes = {};
    const used = this.#used(frontend);
    for (const [name, node] of this.world.nodes) {
      nodes[name] = {
        frontends: { [frontend]: documents.frontendDetail(this.world, node, frontend) },
        backends: Object.fromEntries(used.map((of) => [of, documents.backendDetail(this.world, node, of)])),
        health_checks: Object.fromEntries(
          this.#checks(used).map((check) => [check, documents.healthCheckDetail()]),
        ),
      };
    }
    /** @type {Record<string, import("../src/sync/contract").ObjectInfo>} */
    const objects = { [`Frontend ${frontend}`]: documents.objectInfo(this.world, "Frontend", frontend) };
    for (const of of used) objects[`Backend ${of}`] = documents.objectInfo(this.world, "Backend", of);
    for (const of of this.#checks(used))
      objects[`HealthCheck ${of}`] = documents.objectInfo(this.world, "HealthCheck", of);
    return { as_of: this.asOfs(), now: new Date().toISOString(), nodes, objects };
  }

  /** @param {string} frontend */
  #used(frontend) {
    return [
      ...new Set(
        this.world.spec(frontend).pools.flatMap((pool) => pool.members.map(({ backend }) => backend)),
      ),
    ];
  }

  /** @param {string[]} backends */
  #checks(backends) {
    return [...new Set(backends.flatMap((of) => this.world.backends.get(of)?.check ?? []))];
  }

  /**
   * Changes the world and tells the clients what came of it.
   * @param {string[]} frontends that may look different now
   * @param {string[]} nodes on which
   * @param {() => void} change
   * @param {{ numbered?: boolean }} [options] numbered: links and counters have no number of an agent's
   */
  change(frontends, nodes, change, { numbered = true } = {}) {
    const before = new Map(nodes.map((name) => [name, this.#cut(name, frontends)]));
    change();
    for (const name of nodes) {
      const node = this.world.nodes.get(name);
      if (!node) continue;
      const patch = difference(before.get(name), this.#cut(name, frontends));
      if (numbered) node.seq += 1;
      if (patch === undefined) continue;
      const as_of = numbered ? { epoch: node.epoch, seq: node.seq } : undefined;
      this.#push("node", (asked) => {
        const mine = cutFor(asked, name, /** @type {Record<string, unknown>} */ (patch), (frontend) =>
          this.#used(frontend),
        );
        return mine && { node: name, ...(as_of ? { as_of } : {}), patch: mine };
      });
    }
    this.#tellSummary(frontends, nodes, numbered);
  }

  /**
   * @param {string} name
   * @param {string[]} frontends
   */
  #cut(name, frontends) {
    const node = this.world.nodes.get(name);
    if (!node) return undefined;
    /** @type {Record<string, unknown>} */
    const details = {};
    /** @type {Record<string, unknown>} */
    const backends = {};
    for (const frontend of frontends) {
      if (!this.world.frontends.has(frontend)) continue;
      details[frontend] = documents.frontendDetail(this.world, node, frontend);
      for (const backend of this.#used(frontend))
        backends[backend] ??= documents.backendDetail(this.world, node, backend);
    }
    return {
      frontends: details,
      backends,
      ...(node.vpp ? { vpp: documents.vppPanel(this.world, node) } : {}),
    };
  }

  /**
   * @param {string[]} frontends
   * @param {string[]} nodes
   * @param {boolean} numbered
   */
  #tellSummary(frontends, nodes, numbered) {
    const old = { nodes: this.heads, rows: this.rows, ...this.rest, transitions: this.told };
    this.heads = replaced(
      this.heads,
      nodes,
      (name) => this.world.nodes.has(name) && brief.nodeHead(this.world, name),
    );
    this.rows = replaced(
      this.rows,
      frontends,
      (name) => this.world.frontends.has(name) && brief.row(this.world, name),
    );
    this.rest = this.#rest();
    const part = {
      nodes: only(old.nodes, nodes),
      rows: only(old.rows, frontends),
      strip: old.strip,
      totals: old.totals,
      problems: old.problems,
      kubernetes: old.kubernetes,
      transitions: old.transitions,
    };
    const next = {
      nodes: only(this.heads, nodes),
      rows: only(this.rows, frontends),
      ...this.rest,
      transitions: this.transitions,
    };
    this.told = this.transitions;
    const patch = difference(part, next);
    if (patch === undefined) return;
    const all = this.asOfs();
    const as_of = numbered
      ? Object.fromEntries(nodes.flatMap((name) => (all[name] ? [[name, all[name]]] : [])))
      : undefined;
    this.#push("summary", () => ({ ...(as_of ? { as_of } : {}), patch }));
  }

  /** Totals and counts. */
  #rest() {
    const heads = Object.values(this.heads);
    const rows = Object.values(this.rows);
    /** @param {import("../src/sync/contract").Flag} flag */
    const count = (flag) => rows.filter((row) => row.flags.includes(flag)).length;
    /** @type {Record<string, import("../src/sync/contract").ObjectProblems>} */
    const problems = {};
    for (const [key, { problems: of, held }] of this.world.problems) {
      const [kind = "", name = ""] = key.split(" ");
      const nodes = [...this.world.nodes.keys()];
      problems[key] = { kind: /** @type {"Frontend"} */ (kind), name, nodes, problems: of, held };
    }
    return {
      kubernetes: /** @type {"watching" | "unavailable"} */ (
        this.world.apiServerAway ? "unavailable" : "watching"
      ),
      totals: {
        vips: rows.length,
        backends: this.world.backends.size,
        nodes: heads.length,
        reporting: heads.filter(({ reporting }) => reporting).length,
      },
      strip: {
        down: count("down"),
        dropping: count("dropping"),
        silent: heads.filter(({ flags }) => flags.includes("silent")).length,
        standby: count("standby"),
        disagree: count("disagree"),
        rejected:
          Object.keys(problems).length + heads.filter(({ flags }) => flags.includes("rejected")).length,
        sync: count("sync") + heads.filter(({ flags }) => flags.includes("sync")).length,
      },
      problems,
    };
  }

  /**
   * Lines of a node's log.
   * @param {string} name
   * @param {Omit<Line, "time" | "seq">[]} lines
   */
  log(name, lines) {
    const node = this.world.node(name);
    const time = new Date().toISOString();
    const numbered = lines.map((line) => ({ ...line, time, seq: (node.seq += 1) }));
    this.#push(
      "log",
      ({ log }) => (log === "all" || log === name) && { node: name, epoch: node.epoch, lines: numbered },
    );
  }

  /**
   * @param {string} node
   * @param {Record<string, import("../src/sync/message").Beat>} beats
   */
  beats(node, beats) {
    for (const { asked, write } of this.clients) {
      if (asked.node !== node || asked.beats.length === 0) continue;
      const names = new Set(asked.beats.flatMap((frontend) => this.#used(frontend)));
      const mine = Object.fromEntries(Object.entries(beats).filter(([backend]) => names.has(backend)));
      if (Object.keys(mine).length > 0)
        write(`event: beats\ndata: ${JSON.stringify({ node, beats: mine })}\n\n`);
    }
  }

  /** @param {string} kind @param {string} name */
  object(kind, name) {
    const object = documents.objectInfo(this.world, /** @type {"Frontend"} */ (kind), name);
    this.#push("object", ({ open }) => open.length > 0 && { key: `${kind} ${name}`, object });
  }

  tick() {
    for (const { write } of this.clients) {
      write(`event: tick\ndata: ${JSON.stringify({ now: new Date().toISOString() })}\n\n: ping\n\n`);
    }
  }

  /**
   * @param {string} event
   * @param {(asked: Asked) => unknown} of what a client gets, or nothing
   */
  #push(event, of) {
    this.number += 1;
    const entry = { number: this.number, at: Date.now(), event, for: of };
    this.ring.push(entry);
    while (this.ring.length > RING_MOST || (this.ring[0] && Date.now() - this.ring[0].at > RING_MS))
      this.ring.shift();
    for (const client of this.clients) this.#send(client, entry);
  }

  /** @param {Client} client @param {Entry} entry */
  #send({ asked, write }, entry) {
    const data = entry.for(asked);
    if (data)
      write(`event: ${entry.event}\nid: ${this.replica}-${entry.number}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  /** @param {Client} client */
  join(client) {
    const { asked, write } = client;
    const begins = this.ring[0]?.number ?? this.number + 1;
    const [replica, number] = asked.since?.split("-") ?? [];
    const since = Number(number);
    const inRing = replica === this.replica && since >= begins - 1;
    const hello = {
      resumed: inRing,
      replica: this.replica,
      now: new Date().toISOString(),
      nodes: this.asOfs(),
      version: this.version,
      ...(asked.beats.length > 0
        ? { beats: { asked: asked.beats.length, watched: asked.beats.length } }
        : {}),
    };
    const id = inRing ? since : this.number;
    write(`retry: 500\n\nevent: hello\nid: ${this.replica}-${id}\ndata: ${JSON.stringify(hello)}\n\n`);
    if (asked.since !== null && !inRing) {
      const reason = replica === this.replica ? "too-old" : "other-replica";
      write(`event: resync\nid: ${this.replica}-${this.number}\ndata: ${JSON.stringify({ reason })}\n\n`);
    }
    if (inRing) for (const entry of this.ring) if (entry.number > since) this.#send(client, entry);
    this.clients.add(client);
  }
}

/**
 * @template T
 * @param {Record<string, T>} of
 * @param {string[]} keys
 * @param {(key: string) => T | false} value false: it is gone
 */
function replaced(of, keys, value) {
  const next = new Map(Object.entries(of));
  for (const key of keys) {
    const now = value(key);
    if (now === false) next.delete(key);
    else next.set(key, now);
  }
  return Object.fromEntries(next);
}

/**
 * @template T
 * @param {Record<string, T>} of
 * @param {string[]} keys
 */
function only(of, keys) {
  return Object.fromEntries(keys.flatMap((key) => (of[key] === undefined ? [] : [[key, of[key]]])));
}

/**
 * @param {Asked} asked
 * @param {string} node
 * @param {Record<string, unknown>} patch
 * @param {(frontend: string) => string[]} used
 */
function cutFor(asked, node, patch, used) {
  if (asked.node === node) return patch;
  if (asked.open.length === 0) return undefined;
  const backends = new Set(asked.open.flatMap(used));
  const frontends = pick(patch["frontends"], (name) => asked.open.includes(name));
  const details = pick(patch["backends"], (name) => backends.has(name));
  if (!frontends && !details) return undefined;
  return { ...(frontends ? { frontends } : {}), ...(details ? { backends: details } : {}) };
}

/**
 * @param {unknown} of
 * @param {(key: string) => boolean} wanted
 */
function pick(of, wanted) {
  if (typeof of !== "object" || of === null) return undefined;
  const entries = Object.entries(of).filter(([key]) => wanted(key));
  return entries.length > 0 ? Object.fromEntries(entries) : undefined;
}
