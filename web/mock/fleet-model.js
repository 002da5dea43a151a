// A fleet in memory: its configuration, and the state of each node. documents.js computes the documents from it.
import { randomFrom } from "./random.js";

/**
 * @typedef {import("../src/sync/contract").Vip} Vip
 * @typedef {import("../src/sync/contract").BackendState} BackendState
 * @typedef {import("../src/sync/contract").ProblemDetail} Problem
 * @typedef {{ backend: string, weight: number }} MemberSpec
 * @typedef {{ name: string, members: MemberSpec[] }} PoolSpec
 * @typedef {{ vip: Vip, pools: PoolSpec[], encap: import("../src/sync/contract").EncapType, generation: number, changedBy: string, changedAt: string }} FrontendSpec
 * @typedef {{ address: string, check: string, generation: number }} BackendSpec
 * @typedef {{ state: BackendState, since: string, code?: import("../src/sync/contract").ProbeCode, history: import("../src/sync/contract").PastTransition[] }} Health
 * @typedef {{ result: "Pending" | "Programmed" | "Held" | "Failed", reason?: string, generation: number }} Report
 * @typedef {{
 *   epoch: string, seq: number, link: "connected" | "unreachable", reporting: boolean, error?: string, lastSeen: string,
 *   vpp: boolean, vppSince: string, started: string, suspect: ("ipv4" | "ipv6")[],
 *   holds: Record<string, import("../src/sync/contract").HoldDetail>, failedSteps: number, syncError?: string,
 *   health: Map<string, Health>, reports: Map<string, Report>, packets: Map<string, number>, rates: Map<string, number>,
 *   frontendSince: Map<string, string>,
 *   paths: Map<string, import("../src/sync/contract").PathDetail>
 * }} NodeModel
 */

export class World {
  /** @type {Map<string, FrontendSpec>} */
  frontends = new Map();
  /** @type {Map<string, BackendSpec>} */
  backends = new Map();
  /** @type {Map<string, Set<string>>} */
  users = new Map();
  /** @type {Map<string, NodeModel>} */
  nodes = new Map();
  /** @type {Map<string, { problems: Problem[], held: boolean }>} by key, "Frontend shop/web" */
  problems = new Map();
  /** @type {"present" | "absent"} */
  controller = "present";
  apiServerAway = false;
  random = randomFrom(7);

  /**
   * @param {string} name
   * @param {Vip} vip
   * @param {PoolSpec[]} pools
   * @param {import("../src/sync/contract").EncapType} [encap]
   */
  addFrontend(name, vip, pools, encap = vip.address.includes(":") ? "gre6" : "gre4") {
    const changedAt = minutesAgo(60 * 24 * 3);
    this.frontends.set(name, {
      vip,
      pools,
      encap,
      generation: 3,
      changedBy: "kubectl-client-side-apply",
      changedAt,
    });
    for (const { members } of pools) {
      for (const { backend } of members) {
        const users = this.users.get(backend) ?? new Set();
        users.add(name);
        this.users.set(backend, users);
      }
    }
    for (const node of this.nodes.values()) this.equip(node, name);
  }

  /**
   * @param {string} name
   * @param {string} address
   */
  addBackend(name, address) {
    this.backends.set(name, { address, check: `${name.split("/")[0] ?? ""}/http`, generation: 1 });
    for (const node of this.nodes.values()) node.health.set(name, wellSince(minutesAgo(60 * 24 * 2)));
  }

  /** @param {string} name */
  addNode(name) {
    /** @type {NodeModel} */
    const node = {
      epoch: Math.floor(this.random() * 2 ** 48).toString(16),
      seq: 100,
      link: "connected",
      reporting: true,
      lastSeen: new Date().toISOString(),
      vpp: true,
      vppSince: minutesAgo(60 * 26),
      started: minutesAgo(60 * 27),
      suspect: [],
      holds: {},
      failedSteps: 0,
      health: new Map(),
      reports: new Map(),
      packets: new Map(),
      rates: new Map(),
      frontendSince: new Map(),
      paths: new Map(),
    };
    for (const backend of this.backends.keys()) node.health.set(backend, wellSince(minutesAgo(60 * 24 * 2)));
    for (const frontend of this.frontends.keys()) this.equip(node, frontend);
    this.nodes.set(name, node);
  }

  /**
   * @param {NodeModel} node
   * @param {string} frontend
   */
  equip(node, frontend) {
    node.reports.set(frontend, {
      result: "Programmed",
      generation: this.frontends.get(frontend)?.generation ?? 1,
    });
    node.rates.set(frontend, Math.round(20 + this.random() * 400));
    node.packets.set(frontend, Math.round(this.random() * 5e7));
    node.frontendSince.set(frontend, minutesAgo(60 * 24 * 2));
  }

  /**
   * The path of a frontend's packets to a backend; `undefined` without a path probe, which needs TCP. Works by default.
   * @param {NodeModel} node
   * @param {string} frontend
   * @param {string} backend
   * @returns {import("../src/sync/contract").PathDetail | undefined}
   */
  path(node, frontend, backend) {
    if (this.spec(frontend).vip.protocol !== "tcp") return undefined;
    return node.paths.get(`${frontend} ${backend}`) ?? { state: "PathOK", since: node.started };
  }

  /** @param {string} name */
  node(name) {
    const node = this.nodes.get(name);
    if (!node) throw new Error(`no node ${name}`);
    return node;
  }

  /** @param {string} frontend */
  spec(frontend) {
    const spec = this.frontends.get(frontend);
    if (!spec) throw new Error(`no frontend ${frontend}`);
    return spec;
  }
}

/** @param {number} minutes */
export function minutesAgo(minutes) {
  return new Date(Date.now() - minutes * 60_000).toISOString();
}

/**
 * @param {string} since
 * @returns {Health}
 */
function wellSince(since) {
  return {
    state: "up",
    since,
    code: "L7OK",
    history: [{ from: "unknown", to: "up", at: since, code: "L7OK" }],
  };
}
