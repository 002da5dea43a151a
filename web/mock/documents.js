// The documents of the contract, worked out from the fleet in memory by the rules that the agents have.

/**
 * @typedef {import("./world.js").World} World
 * @typedef {import("./world.js").NodeModel} NodeModel
 * @typedef {import("../src/live/contract").Flag} Flag
 * @typedef {import("../src/live/contract").Row} Row
 * @typedef {import("../src/live/contract").NodeHead} NodeHead
 * @typedef {import("../src/live/contract").FrontendDetail} FrontendDetail
 * @typedef {import("../src/live/contract").BackendDetail} BackendDetail
 * @typedef {import("../src/live/contract").ObjectInfo} ObjectInfo
 * @typedef {import("../src/live/contract").NodeState} NodeState
 */

const TABLE = 8192;

/**
 * The pool that serves on a node: the first with a backend that is up and has weight.
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
 * @returns {import("../src/live/contract").FrontendState}
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
  /** @type {Record<string, import("../src/live/contract").PoolDetail>} */
  const pools = {};
  const serving = spec.pools[active]?.members ?? [];
  const up = serving.filter(({ backend }) => node.health.get(backend)?.state === "up");
  const sum = up.reduce((sum, { weight }) => sum + weight, 0);
  for (const [order, { name, members }] of spec.pools.entries()) {
    /** @type {Record<string, import("../src/live/contract").Member>} */
    const of = {};
    for (const [index, { backend, weight }] of members.entries()) {
      const state = node.health.get(backend)?.state ?? "unknown";
      const effective = order === active && state === "up" ? weight : 0;
      of[backend] = {
        order: index,
        address: world.backends.get(backend)?.address ?? "",
        weight,
        effective,
        ...(node.vpp
          ? { in_vpp: effective, buckets: sum > 0 ? Math.round((TABLE * effective) / sum) : 0 }
          : {}),
        condition: state === "unknown" ? "never-known" : state,
        kept: false,
      };
    }
    pools[name] = { order, active: order === active, members: of };
  }
  const rate = node.rates.get(frontend) ?? 0;
  const total = node.packets.get(frontend) ?? 0;
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
    table_length: TABLE,
    uid: `uid-${frontend}`,
    generation: spec.generation,
    ...(report ? { report: { ...report, fingerprint: "5f2a" } } : {}),
    ...(node.vpp
      ? {
          in_vpp: {
            encap: spec.encap,
            sticky: false,
            table_length: TABLE,
            length: spec.vip.address.includes(":") ? 128 : 32,
          },
          buckets_at: node.lastSeen,
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

/** @returns {import("../src/live/contract").HealthCheckDetail} */
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
  /** @type {Record<string, import("../src/live/contract").HealthCheckDetail>} */
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
  };
}

/**
 * @param {World} world
 * @param {NodeModel} node
 * @returns {import("../src/live/contract").VppPanel}
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
  };
}

/**
 * @param {World} world
 * @param {string} name
 * @returns {NodeHead}
 */
export function nodeHead(world, name) {
  const node = world.node(name);
  /** @type {Flag[]} */
  const flags = [];
  if (!node.reporting || !node.vpp) flags.push("silent");
  if (node.failedSteps > 0 || node.syncError !== undefined) flags.push("sync");
  if (Object.keys(node.holds).length > 0) flags.push("rejected");
  let rate = 0;
  for (const of of node.rates.values()) rate += of;
  return {
    pod: `maglev-system/maglevd-${name.slice(-1)}x7k2`,
    address: `10.0.0.${[...world.nodes.keys()].indexOf(name) + 1}:9090`,
    link: node.link,
    reporting: node.reporting,
    ...(node.error === undefined ? {} : { error: node.error }),
    last_seen: node.lastSeen,
    version: "0.3.0",
    commit: "ab12cd3",
    build_date: "2026-11-20T08:00:00.000Z",
    started: node.started,
    ready: node.vpp,
    ...(node.vpp ? {} : { not_ready: "waiting for VPP: connect /run/vpp/api.sock: connection refused" }),
    vpp: node.vpp ? "connected" : "lost",
    ...(node.vpp ? { vpp_version: "26.10-release", vpp_since: node.vppSince } : {}),
    suspect: node.suspect,
    holds: node.holds,
    failed_steps: node.failedSteps,
    ...(node.syncError === undefined ? {} : { sync_error: node.syncError }),
    last_pass: node.lastSeen,
    foreign: 0,
    rate: round(rate),
    frontends: world.frontends.size,
    backends: world.backends.size,
    flags,
  };
}

/**
 * @param {World} world
 * @param {string} frontend
 * @returns {Row}
 */
export function row(world, frontend) {
  const spec = world.spec(frontend);
  const members = [...new Set(spec.pools.flatMap((pool) => pool.members.map(({ backend }) => backend)))];
  /** @type {Record<string, string>} */
  const cells = {};
  /** @type {Record<string, string>} */
  const backends = {};
  for (const backend of members) backends[backend] = world.backends.get(backend)?.address ?? "";
  const counts = { down: 0, unknown: 0, standby: 0, up: 0 };
  let rate = 0;
  let dropping = 0;
  let failed = false;
  let since = "";
  const alive = new Set(members);
  const prints = new Set();
  for (const [name, node] of world.nodes) {
    const state = frontendState(world, node, frontend);
    const report = node.reports.get(frontend);
    cells[name] = report && report.result !== "Programmed" ? `${state} ${report.result}` : state;
    if (!node.reporting) continue;
    counts[state] += 1;
    failed ||= report?.result === "Failed";
    const of = node.rates.get(frontend) ?? 0;
    rate += of;
    if (state === "down") dropping += of;
    const changed = node.frontendSince.get(frontend) ?? "";
    if (changed > since) since = changed;
    for (const backend of members) if (node.health.get(backend)?.state !== "up") alive.delete(backend);
    if (node.vpp) prints.add(members.map((backend) => node.health.get(backend)?.state).join());
  }
  const state =
    counts.down > 0 ? "down" : counts.unknown > 0 ? "unknown" : counts.standby > 0 ? "standby" : "up";
  const problems = world.problems.get(`Frontend ${frontend}`)?.problems ?? [];
  /** @type {Flag[]} */
  const flags = [];
  if (state === "down") flags.push("down");
  if (dropping > 0) flags.push("dropping");
  if (state === "standby" || (state === "up" && alive.size === 1 && members.length > 1))
    flags.push("standby");
  if (prints.size > 1) flags.push("disagree");
  if (problems.length > 0) flags.push("rejected");
  if (failed) flags.push("sync");
  return {
    vip: spec.vip,
    state,
    rank: flags.includes("down") ? 100 : flags.length > 0 ? 10 : 0,
    flags,
    cells,
    up: alive.size,
    total: members.length,
    rate: round(rate),
    dropping: round(dropping),
    ...(since ? { since } : {}),
    reason: flags.includes("disagree") ? "nodes disagree" : reason(world, frontend, state, members, problems),
    backends,
  };
}

/**
 * @param {World} world
 * @param {string} frontend
 * @param {string} state
 * @param {string[]} members
 * @param {import("../src/live/contract").Problem[]} problems
 */
function reason(world, frontend, state, members, problems) {
  const node = [...world.nodes.values()].find(
    (node) => node.reporting && frontendState(world, node, frontend) === state,
  );
  if (state === "down" && node) {
    const codes = new Set(members.map((backend) => node.health.get(backend)?.code));
    return `all backends ${[...codes].join(", ")}`;
  }
  if (state === "standby") return `pool ${world.spec(frontend).pools[0]?.name ?? ""} down`;
  for (const [name, node] of world.nodes) {
    const report = node.reports.get(frontend);
    if (report?.result === "Failed") return `${report.reason ?? ""} on ${name}`;
  }
  const [problem] = problems;
  if (problem) return `${problem.reason}: ${problem.message}`;
  const gone = members.filter((backend) => node?.health.get(backend)?.state === "down");
  return gone.length > 0 ? `${gone.join(", ")} down` : "";
}

/**
 * @param {World} world
 * @param {"Frontend" | "Backend" | "HealthCheck"} kind
 * @param {string} name
 * @returns {ObjectInfo}
 */
export function objectInfo(world, kind, name) {
  const [namespace = "", own = ""] = name.split("/");
  const resource = { Frontend: "frontends", Backend: "backends", HealthCheck: "healthchecks" }[kind];
  const spec = kind === "Frontend" ? world.spec(name) : undefined;
  const generation = spec?.generation ?? 1;
  const problems = world.problems.get(`${kind} ${name}`)?.problems ?? [];
  const created = minutesAgoFixed(60 * 24 * 40);
  /** @type {Record<string, import("../src/live/contract").Condition>} */
  const conditions = {};
  const types =
    kind === "Frontend"
      ? ["Accepted", "ResolvedRefs", "Programmed", "Available", "Ready"]
      : ["Accepted", "ResolvedRefs", "Ready"];
  for (const type of types) {
    const bad = problems.length > 0 && (type === "ResolvedRefs" || type === "Ready");
    conditions[type] = {
      status: bad ? "False" : "True",
      reason: bad ? (problems[0]?.reason ?? "") : type,
      message: bad ? (problems[0]?.message ?? "") : `${kind} ${name} is as wanted`,
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
      `kubectl --namespace ${namespace} get ${resource}.maglev.vpp.io ${own} --output yaml`,
      `kubectl --namespace ${namespace} describe ${resource}.maglev.vpp.io ${own}`,
    ],
  };
}

const BEGAN = Date.now();

/** @param {number} minutes */
function minutesAgoFixed(minutes) {
  return new Date(BEGAN - minutes * 60_000).toISOString();
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}
