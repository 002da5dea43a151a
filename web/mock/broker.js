// Messages to the clients: a ring of numbered messages, and the part of each that a client subscribed to.
import { difference } from "./merge-patch.js";
import * as parts from "./summary-parts.js";
import * as documents from "./documents.js";

/**
 * @typedef {import("./fleet-model.js").World} World
 * @typedef {import("../src/sync/contract").Summary} Summary
 * @typedef {import("../src/sync/contract").Line} Line
 * @typedef {import("../src/sync/contract").Position} AsOf
 * @typedef {{ node: string | null, open: string[], log: string | null, beats: string[], since: string | null }} ClientFilter
 * @typedef {{ filter: ClientFilter, write: (text: string) => void, close: () => void }} Client
 * @typedef {{ number: number, at: number, event: string, for: (filter: ClientFilter) => unknown }} Entry
 */

const RING_MS = 30_000;
const MAX_RING_LENGTH = 2000;

export class Broker {
  replica = Math.floor(Math.random() * 2 ** 52).toString(16);
  version = "0.3.0";
  number = 0;
  /** @type {Entry[]} */
  ring = [];
  /** @type {Set<Client>} */
  clients = new Set();
  /** @type {Record<string, import("../src/sync/contract").TransitionDetail>} */
  transitions = {};
  /** @type {Record<string, import("../src/sync/contract").TransitionDetail>} as last sent to the clients */
  publishedTransitions = {};
  /** @type {Record<string, import("../src/sync/contract").NodeHeader>} */
  nodeHeads = {};
  /** @type {Record<string, import("../src/sync/contract").Row>} */
  frontendRows = {};
  /** @type {Pick<Summary, "strip" | "totals" | "healthy" | "differing_percent" | "problems" | "kubernetes">} */
  aggregates;

  /** @param {World} world */
  constructor(world) {
    this.world = world;
    for (const name of world.nodes.keys()) this.nodeHeads[name] = parts.nodeHead(world, name);
    for (const name of world.frontends.keys()) this.frontendRows[name] = parts.row(world, name);
    this.aggregates = this.#aggregate();
  }

  /** @returns {import("../src/sync/contract").Positions} */
  asOfs() {
    /** @type {Record<string, AsOf>} */
    const result = {};
    for (const [name, { epoch, seq }] of this.world.nodes) result[name] = { epoch, seq };
    return result;
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
      nodes: this.nodeHeads,
      rows: this.frontendRows,
      transitions: this.transitions,
      ...this.aggregates,
    };
  }

  /**
   * @param {string} frontend
   * @returns {import("../src/sync/contract").FrontendPage}
   */
  page(frontend) {
    /** @type {Record<string, import("../src/sync/contract").FrontendParts>} */
    const nodes = {};
    const usedBackends = this.#used(frontend);
    for (const [name, node] of this.world.nodes) {
      nodes[name] = {
        frontends: { [frontend]: documents.frontendDetail(this.world, node, frontend) },
        backends: Object.fromEntries(
          usedBackends.map((backend) => [backend, documents.backendDetail(this.world, node, backend)]),
        ),
        health_checks: Object.fromEntries(
          this.#checks(usedBackends).map((check) => [check, documents.healthCheckDetail()]),
        ),
      };
    }
    /** @type {Record<string, import("../src/sync/contract").ObjectInfo>} */
    const objects = { [`Frontend ${frontend}`]: documents.objectInfo(this.world, "Frontend", frontend) };
    for (const backend of usedBackends)
      objects[`Backend ${backend}`] = documents.objectInfo(this.world, "Backend", backend);
    for (const check of this.#checks(usedBackends))
      objects[`HealthCheck ${check}`] = documents.objectInfo(this.world, "HealthCheck", check);
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
    return [...new Set(backends.flatMap((backend) => this.world.backends.get(backend)?.check ?? []))];
  }

  /**
   * Changes the fleet and sends the differences to the clients.
   * @param {string[]} frontends that can differ afterwards
   * @param {string[]} nodes on which they can differ
   * @param {() => void} change
   * @param {{ numbered?: boolean }} [options] numbered: false for links and counters, which have no number
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
      this.#push("node", (filter) => {
        const ownPatch = filterForClient(
          filter,
          name,
          /** @type {Record<string, unknown>} */ (patch),
          (frontend) => this.#used(frontend),
        );
        return ownPatch && { node: name, ...(as_of ? { as_of } : {}), patch: ownPatch };
      });
    }
    this.#publishSummary(frontends, nodes, numbered);
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
  #publishSummary(frontends, nodes, numbered) {
    const old = {
      nodes: this.nodeHeads,
      rows: this.frontendRows,
      ...this.aggregates,
      transitions: this.publishedTransitions,
    };
    this.nodeHeads = replaceKeys(
      this.nodeHeads,
      nodes,
      (name) => this.world.nodes.has(name) && parts.nodeHead(this.world, name),
    );
    this.frontendRows = replaceKeys(
      this.frontendRows,
      frontends,
      (name) => this.world.frontends.has(name) && parts.row(this.world, name),
    );
    this.aggregates = this.#aggregate();
    const part = {
      nodes: pickExisting(old.nodes, nodes),
      rows: pickExisting(old.rows, frontends),
      strip: old.strip,
      totals: old.totals,
      ...(old.healthy === undefined ? {} : { healthy: old.healthy }),
      ...(old.differing_percent === undefined ? {} : { differing_percent: old.differing_percent }),
      problems: old.problems,
      kubernetes: old.kubernetes,
      transitions: old.transitions,
    };
    const next = {
      nodes: pickExisting(this.nodeHeads, nodes),
      rows: pickExisting(this.frontendRows, frontends),
      ...this.aggregates,
      transitions: this.transitions,
    };
    this.publishedTransitions = this.transitions;
    const patch = difference(part, next);
    if (patch === undefined) return;
    const all = this.asOfs();
    const as_of = numbered
      ? Object.fromEntries(nodes.flatMap((name) => (all[name] ? [[name, all[name]]] : [])))
      : undefined;
    this.#push("summary", () => ({ ...(as_of ? { as_of } : {}), patch }));
  }

  /** Totals and counts. */
  #aggregate() {
    const heads = Object.values(this.nodeHeads);
    const rows = Object.values(this.frontendRows);
    /** @param {import("../src/sync/contract").Flag} flag */
    const count = (flag) => rows.filter((row) => row.flags.includes(flag)).length;
    /** @type {Record<string, import("../src/sync/contract").ObjectProblems>} */
    const problems = {};
    for (const [key, { problems: list, held }] of this.world.problems) {
      const [kind = "", name = ""] = key.split(" ");
      const nodes = [...this.world.nodes.keys()];
      problems[key] = { kind: /** @type {"Frontend"} */ (kind), name, nodes, problems: list, held };
    }
    const totals = {
      vips: rows.length,
      backends: this.world.backends.size,
      nodes: heads.length,
      reporting: heads.filter(({ reporting }) => reporting).length,
    };
    const strip = {
      down: count("down"),
      dropping: count("dropping"),
      silent: heads.filter(({ flags }) => flags.includes("silent")).length,
      standby: count("standby"),
      disagree: count("disagree"),
      rejected: Object.keys(problems).length + heads.filter(({ flags }) => flags.includes("rejected")).length,
      sync: count("sync") + heads.filter(({ flags }) => flags.includes("sync")).length,
      backends_down: [...this.world.backends.keys()].filter((name) => parts.isDown(this.world, name)).length,
    };
    const fine = totals.reporting === totals.nodes && Object.values(strip).every((number) => number === 0);
    const { vips, backends, nodes } = totals;
    const shares = rows.flatMap(({ disagreement }) => disagreement?.percent ?? []);
    return {
      ...(shares.length > 0 ? { differing_percent: Math.max(...shares) } : {}),
      ...(fine ? { healthy: `Everything is up: ${vips} VIPs, ${backends} backends on ${nodes} nodes` } : {}),
      kubernetes: /** @type {"watching" | "unavailable"} */ (
        this.world.apiServerAway ? "unavailable" : "watching"
      ),
      totals,
      strip,
      problems,
    };
  }

  /**
   * Sends log lines of a node.
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
   * @param {Record<string, import("../src/sync/contract").Heartbeat>} beats
   */
  beats(node, beats) {
    for (const { filter, write } of this.clients) {
      if (filter.node !== node || filter.beats.length === 0) continue;
      const names = new Set(filter.beats.flatMap((frontend) => this.#used(frontend)));
      const ownBeats = Object.fromEntries(Object.entries(beats).filter(([backend]) => names.has(backend)));
      if (Object.keys(ownBeats).length > 0)
        write(`event: beats\ndata: ${JSON.stringify({ node, beats: ownBeats })}\n\n`);
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
   * @param {(filter: ClientFilter) => unknown} resolve the data for a client; falsy = no message
   */
  #push(event, resolve) {
    this.number += 1;
    const entry = { number: this.number, at: Date.now(), event, for: resolve };
    this.ring.push(entry);
    while (this.ring.length > MAX_RING_LENGTH || (this.ring[0] && Date.now() - this.ring[0].at > RING_MS))
      this.ring.shift();
    for (const client of this.clients) this.#send(client, entry);
  }

  /** @param {Client} client @param {Entry} entry */
  #send({ filter, write }, entry) {
    const data = entry.for(filter);
    if (data)
      write(`event: ${entry.event}\nid: ${this.replica}-${entry.number}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  /** @param {Client} client */
  join(client) {
    const { filter, write } = client;
    const begins = this.ring[0]?.number ?? this.number + 1;
    const [replica, number] = filter.since?.split("-") ?? [];
    const since = Number(number);
    const inRing = replica === this.replica && since >= begins - 1;
    const hello = {
      resumed: inRing,
      replica: this.replica,
      now: new Date().toISOString(),
      nodes: this.asOfs(),
      version: this.version,
      ...(filter.beats.length > 0
        ? { beats: { asked: filter.beats.length, watched: filter.beats.length } }
        : {}),
    };
    const id = inRing ? since : this.number;
    write(`retry: 500\n\nevent: hello\nid: ${this.replica}-${id}\ndata: ${JSON.stringify(hello)}\n\n`);
    if (filter.since !== null && !inRing) {
      const reason = replica === this.replica ? "too-old" : "other-replica";
      write(`event: resync\nid: ${this.replica}-${this.number}\ndata: ${JSON.stringify({ reason })}\n\n`);
    }
    if (inRing) for (const entry of this.ring) if (entry.number > since) this.#send(client, entry);
    this.clients.add(client);
  }
}

/**
 * @template T
 * @param {Record<string, T>} current
 * @param {string[]} keys
 * @param {(key: string) => T | false} value false: removed
 */
function replaceKeys(current, keys, value) {
  const next = new Map(Object.entries(current));
  for (const key of keys) {
    const now = value(key);
    if (now === false) next.delete(key);
    else next.set(key, now);
  }
  return Object.fromEntries(next);
}

/**
 * @template T
 * @param {Record<string, T>} record
 * @param {string[]} keys
 */
function pickExisting(record, keys) {
  return Object.fromEntries(keys.flatMap((key) => (record[key] === undefined ? [] : [[key, record[key]]])));
}

/**
 * @param {ClientFilter} filter
 * @param {string} node
 * @param {Record<string, unknown>} patch
 * @param {(frontend: string) => string[]} used
 */
function filterForClient(filter, node, patch, used) {
  if (filter.node === node) return patch;
  if (filter.open.length === 0) return undefined;
  const backends = new Set(filter.open.flatMap(used));
  const frontends = pickMatching(patch["frontends"], (name) => filter.open.includes(name));
  const details = pickMatching(patch["backends"], (name) => backends.has(name));
  if (!frontends && !details) return undefined;
  return { ...(frontends ? { frontends } : {}), ...(details ? { backends: details } : {}) };
}

/**
 * @param {unknown} value
 * @param {(key: string) => boolean} isWanted
 */
function pickMatching(value, isWanted) {
  if (typeof value !== "object" || value === null) return undefined;
  const entries = Object.entries(value).filter(([key]) => isWanted(key));
  return entries.length > 0 ? Object.fromEntries(entries) : undefined;
}
