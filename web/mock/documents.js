// The documents of the contract, computed from the fleet in memory by the rules of the agents.

/**
 * @typedef {import("./fleet-model.js").World} World
 * @typedef {import("./fleet-model.js").NodeModel} NodeModel
 * @typedef {import("../src/sync/contract").FrontendDetail} FrontendDetail
 * @typedef {import("../src/sync/contract").BackendDetail} BackendDetail
 * @typedef {import("../src/sync/contract").ObjectInfo} ObjectInfo
 * @typedef {import("../src/sync/contract").NodePage} NodeState
 */

const TABLE_LENGTH = 8192;

/**
 * The index of the active pool on a node: the first with a backend that is up and has weight; -1 = none.
 * @param {World} world
 * @param {NodeModel} node
 * @param {string} frontend
 */
export function activePool(world, node, frontend) {
  return world
    .spec(frontend)
    .pools.findIndex(({ members }) =>
      members.some(({ backend, weight }) => weight > 0 && node.health.get(backend)?.state === "up"),
    );
}

/**
 * @param {World} world
 * @param {NodeModel} node
 * @param {string} frontend
 * @returns {import("../src/sync/contract").FrontendState}
 */
export function frontendState(world, node, frontend) {
  const active = activePool(world, node, frontend);
  if (active > 0) return "standby";
  if (active === 0) return "up";
  const states = world
    .spec(frontend)
    .pools.flatMap(({ members }) => members.map(({ backend }) => node.health.get(backend)?.state));
  return states.every((state) => state === "unknown" || state === undefined) ? "unknown" : "down";
}

/**
 * @param {World} world
 * @param {NodeModel} node
 * @param {string} frontend
 * @returns {FrontendDetail}
 */
export function frontendDetail(world, node, frontend) {
  const spec = world.spec(frontend);
  const active = activePool(world, node, frontend);
  const report = node.reports.get(frontend);
  const problems = world.problems.get(`Frontend ${frontend}`);
  /** @type {Record<string, import("../src/sync/contract").PoolDetail>} */
  const pools = {};
  const serving = spec.pools[active]?.members ?? [];
  const rate = node.rates.get(frontend) ?? 0;
  const total = node.packets.get(frontend) ?? 0;
  const up = serving.filter(({ backend }) => node.health.get(backend)?.state === "up");
  const sum = up.reduce((sum, { weight }) => sum + weight, 0);
  for (const [order, { name, members }] of spec.pools.entries()) {
    /** @type {Record<string, import("../src/sync/contract").Member>} */
    const details = {};
    for (const [index, { backend, weight }] of members.entries()) {
      const state = node.health.get(backend)?.state ?? "unknown";
      const effective = order === active && state === "up" ? weight : 0;
      const share = sum > 0 ? effective / sum : 0;
      const path = world.path(node, frontend, backend);
      details[backend] = {
        order: index,
        address: world.backends.get(backend)?.address ?? "",
        weight,
        effective,
        ...(node.vpp
          ? {
              in_vpp: effective,
              buckets: Math.round(TABLE_LENGTH * share),
              traffic: memberTraffic(total * share, rate * share),
              flows: Math.round(rate * share * 3),
            }
          : {}),
        condition: state === "unknown" ? "never-known" : state,
        kept: false,
        ...(path ? { path } : {}),
      };
    }
    pools[name] = { order, active: order === active, members: details };
  }
  const down = active < 0;
  const since = node.frontendSince.get(frontend);
  return {
    vip: spec.vip,
    state: frontendState(world, node, frontend),
    ...(since === undefined ? {} : { since }),
    ...(active >= 0 ? { active_pool: spec.pools[active]?.name ?? "" } : {}),
    standing: problems?.held ? "held" : "serving",
    problems: problems?.problems ?? [],
    encap: spec.encap,
    sticky: false,
    on_backend_down: "Flush",
    table_length: TABLE_LENGTH,
    uid: `uid-${frontend}`,
    generation: spec.generation,
    ...(report ? { report: { ...report, fingerprint: "5f2a" } } : {}),
    ...(node.vpp
      ? {
          in_vpp: {
            encap: spec.encap,
            sticky: false,
            table_length: TABLE_LENGTH,
            servers: Object.values(pools).reduce((sum, { members }) => sum + Object.keys(members).length, 0),
          },
          counters: {
            existing: { total: Math.round(total * 0.9), rate: down ? 0 : round(rate * 0.9) },
            first: { total: Math.round(total * 0.09), rate: down ? 0 : round(rate * 0.09) },
            untracked: { total: Math.round(total * 0.01), rate: down ? 0 : round(rate * 0.01) },
            no_server: { total: down ? rate * 30 : 0, rate: down ? rate : 0 },
            route: { packets: { total, rate }, bytes: { total: total * 420, rate: rate * 420 } },
          },
        }
      : {}),
    pools,
  };
}

/**
 * @param {number} packets
 * @param {number} rate
 * @returns {import("../src/sync/contract").MemberTraffic}
 */
function memberTraffic(packets, rate) {
  const total = Math.round(packets);
  return {
    packets: { total, rate: round(rate) },
    bytes: { total: total * 444, rate: round(rate * 444) },
    vips: 1,
  };
}

/**
 * @param {World} world
 * @param {NodeModel} node
 * @param {string} name
 * @returns {BackendDetail}
 */
export function backendDetail(world, node, name) {
  const spec = world.backends.get(name);
  const { state, since, code, history } = node.health.get(name) ?? {
    state: "unknown",
    since: node.started,
    code: undefined,
    history: [],
  };
  return {
    address: spec?.address ?? "",
    admin_state: state === "paused" ? "Paused" : state === "disabled" ? "Disabled" : "Enabled",
    state,
    since,
    ...(code === undefined ? {} : { code }),
    check: spec?.check ?? "",
    check_type: "HTTP",
    in_doubt: false,
    history,
    generation: spec?.generation ?? 1,
    problems: world.problems.get(`Backend ${name}`)?.problems ?? [],
  };
}

/** @returns {import("../src/sync/contract").HealthCheckDetail} */
export function healthCheckDetail() {
  return {
    type: "HTTP",
    interval_ms: 2000,
    fast_interval_ms: 500,
    down_interval_ms: 5000,
    timeout_ms: 1000,
    rise: 2,
    fall: 3,
    generation: 1,
    problems: [],
  };
}

/**
 * @param {World} world
 * @param {string} name
 * @returns {NodeState}
 */
export function nodeState(world, name) {
  const node = world.node(name);
  /** @type {Record<string, FrontendDetail>} */
  const frontends = {};
  for (const frontend of world.frontends.keys()) frontends[frontend] = frontendDetail(world, node, frontend);
  /** @type {Record<string, BackendDetail>} */
  const backends = {};
  for (const backend of world.backends.keys()) backends[backend] = backendDetail(world, node, backend);
  /** @type {Record<string, import("../src/sync/contract").HealthCheckDetail>} */
  const health_checks = {};
  for (const { check } of world.backends.values()) health_checks[check] ??= healthCheckDetail();
  return {
    node: name,
    as_of: { epoch: node.epoch, seq: node.seq },
    now: new Date().toISOString(),
    frontends,
    backends,
    health_checks,
    ...(node.vpp ? { vpp: vppPanel(world, node) } : {}),
    foreign: {},
    settings: {
      load_balancer_config: "edge",
      sync_interval_s: 30,
      foreign_vips: "Keep",
      mass_removal_hold_s: 300,
      fail_open: true,
    },
    claims_unknown: false,
    objects: {
      [`MaglevNode ${name}`]: objectInfo(world, "MaglevNode", name),
      "LoadBalancerConfig edge": objectInfo(world, "LoadBalancerConfig", "edge"),
    },
  };
}

/**
 * @param {World} world
 * @param {NodeModel} node
 * @returns {import("../src/sync/contract").VppPanel}
 */
export function vppPanel(world, node) {
  return {
    version: "26.10-release",
    build_date: "2026-10-28T10:11:12",
    pid: 4711,
    capabilities: "weights",
    since: node.vppSince,
    boot_time: node.vppSince,
    heartbeat: 12,
    weights: true,
    conf: {
      ipv4_source: "10.0.0.1",
      ipv6_source: "2001:db8::1",
      sticky_buckets_per_core: 65536,
      flow_timeout_s: 40,
    },
    vips: world.frontends.size,
    application_servers: world.backends.size,
    dump_at: node.lastSeen,
    counters_at: node.lastSeen,
    sticky_tables: {
      1: { entries: 18_300, capacity: 262_144, filling: false },
      2: { entries: 17_650, capacity: 262_144, filling: false },
    },
  };
}

/**
 * @param {World} world
 * @param {keyof typeof RESOURCES} kind
 * @param {string} name
 * @returns {ObjectInfo}
 */
export function objectInfo(world, kind, name) {
  const [objectName = "", namespace] = name.split("/").reverse();
  const resource = RESOURCES[kind];
  const namespaceFlag = namespace === undefined ? "" : `--namespace ${namespace} `;
  const spec = kind === "Frontend" ? world.spec(name) : undefined;
  const generation = spec?.generation ?? 1;
  const problems = world.problems.get(`${kind} ${name}`)?.problems ?? [];
  const created = minutesBeforeStart(60 * 24 * 40);
  /** @type {Record<string, import("../src/sync/contract").ConditionDetail>} */
  const conditions = {};
  for (const type of CONDITIONS[kind]) {
    const bad = problems.length > 0 && (type === "ResolvedRefs" || type === "Ready");
    conditions[type] = {
      status: bad ? "False" : "True",
      reason: bad ? (problems[0]?.reason ?? "") : type,
      message: bad ? (problems[0]?.message ?? "") : `${kind} ${name} is as desired`,
      since: created,
      generation,
    };
  }
  return {
    kind,
    name,
    uid: `uid-${kind}-${name}`,
    created,
    generation,
    ...(world.controller === "present" ? { observed_generation: generation } : {}),
    conditions: world.controller === "present" ? conditions : {},
    changed: {
      by: spec?.changedBy ?? "argocd-controller",
      at: spec?.changedAt ?? created,
      operation: "Apply",
    },
    annotations: {},
    kubectl: [
      `kubectl ${namespaceFlag}get ${resource}.maglev.vpp.io ${objectName} --output yaml`,
      `kubectl ${namespaceFlag}describe ${resource}.maglev.vpp.io ${objectName}`,
    ],
  };
}

const RESOURCES = {
  Frontend: "frontends",
  Backend: "backends",
  HealthCheck: "healthchecks",
  LoadBalancerConfig: "loadbalancerconfigs",
  MaglevNode: "maglevnodes",
};

const CONDITIONS = {
  Frontend: ["Accepted", "ResolvedRefs", "Programmed", "Available", "Ready"],
  Backend: ["Accepted", "ResolvedRefs", "Ready"],
  HealthCheck: ["Accepted", "Ready"],
  LoadBalancerConfig: ["Accepted", "Ready"],
  MaglevNode: ["AgentConnected", "VPPConnected", "Ready"],
};

const START = Date.now();

/** @param {number} minutes */
function minutesBeforeStart(minutes) {
  return new Date(START - minutes * 60_000).toISOString();
}

/** @param {number} value */
export function round(value) {
  return Math.round(value * 10) / 10;
}
