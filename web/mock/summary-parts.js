// The parts of the summary: a row per frontend, a head per node.
import { frontendState, round } from "./documents.js";

/**
 * @typedef {import("./fleet-model.js").World} World
 * @typedef {import("../src/sync/contract").Flag} Flag
 * @typedef {import("../src/sync/contract").Row} Row
 * @typedef {import("../src/sync/contract").NodeHeader} NodeHead
 */

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
  for (const nodeRate of node.rates.values()) rate += nodeRate;
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
  const counts = { down: 0, unknown: 0, standby: 0, up: 0 };
  let rate = 0;
  let dropping = 0;
  let failed = false;
  let since = "";
  const upBackends = new Set(members);
  const fingerprints = new Set();
  for (const [name, node] of world.nodes) {
    const state = frontendState(world, node, frontend);
    const report = node.reports.get(frontend);
    cells[name] = report && report.result !== "Programmed" ? `${state} ${report.result}` : state;
    if (!node.reporting) continue;
    counts[state] += 1;
    failed ||= report?.result === "Failed";
    const nodeRate = node.rates.get(frontend) ?? 0;
    rate += nodeRate;
    if (state === "down") dropping += nodeRate;
    const changed = node.frontendSince.get(frontend) ?? "";
    if (changed > since) since = changed;
    for (const backend of members) if (node.health.get(backend)?.state !== "up") upBackends.delete(backend);
    if (node.vpp) fingerprints.add(members.map((backend) => node.health.get(backend)?.state).join());
  }
  const state =
    counts.down > 0 ? "down" : counts.unknown > 0 ? "unknown" : counts.standby > 0 ? "standby" : "up";
  const problems = world.problems.get(`Frontend ${frontend}`)?.problems ?? [];
  /** @type {Flag[]} */
  const flags = [];
  if (state === "down") flags.push("down");
  if (dropping > 0) flags.push("dropping");
  if (state === "standby" || (state === "up" && upBackends.size === 1 && members.length > 1))
    flags.push("standby");
  if (fingerprints.size > 1) flags.push("disagree");
  if (problems.length > 0) flags.push("rejected");
  if (failed) flags.push("sync");
  const differing = flags.includes("disagree") ? disagreement(world, members, since) : undefined;
  const downBackends = members.filter((backend) => isDown(world, backend));
  if (downBackends.length > 0) flags.push("backends_down");
  return {
    vip: spec.vip,
    state,
    rank: flags.includes("down") ? 100 : flags.length > 0 ? 10 : 0,
    flags,
    cells,
    up: upBackends.size,
    total: members.length,
    rate: round(rate),
    dropping: round(dropping),
    ...(since ? { since } : {}),
    ...(differing ? { disagreement: differing } : {}),
    reason: differing
      ? `nodes disagree: ${differing.percent.toFixed(1)} % of buckets differ on ${differing.nodes.join(", ")}`
      : reason(world, frontend, state, members, problems),
  };
}

/**
 * The difference between the nodes' tables, as if each backend had the same share of the buckets.
 * @param {World} world
 * @param {string[]} members
 * @param {string} since
 * @returns {NonNullable<Row["disagreement"]>}
 */
function disagreement(world, members, since) {
  const states = [...world.nodes]
    .filter(([, node]) => node.reporting && node.vpp)
    .map(([name, node]) => ({ name, key: members.map((backend) => node.health.get(backend)?.state).join() }));
  const counted = states.map(({ key }) => states.filter((other) => other.key === key).length);
  const most = Math.max(...counted);
  const majority = most * 2 > states.length;
  const reference = states[counted.indexOf(most)]?.key.split(",") ?? [];
  const shares = states.map(
    ({ key }) => key.split(",").filter((state, at) => state !== reference[at]).length,
  );
  return {
    since: since || new Date().toISOString(),
    percent: round((Math.max(...shares) * 100) / members.length),
    nodes: states.filter((_, at) => !majority || counted[at] !== most).map(({ name }) => name),
    majority,
  };
}

/**
 * True if a reporting node finds the backend down.
 * @param {World} world
 * @param {string} backend
 */
export function isDown(world, backend) {
  return [...world.nodes.values()].some(
    (node) => node.reporting && node.health.get(backend)?.state === "down",
  );
}

/**
 * @param {World} world
 * @param {string} frontend
 * @param {string} state
 * @param {string[]} members
 * @param {import("../src/sync/contract").ProblemDetail[]} problems
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
  const codes = members
    .filter((backend) => node?.health.get(backend)?.state === "down")
    .map((backend) => `${backend.split("/").pop() ?? ""} ${node?.health.get(backend)?.code ?? "down"}`);
  return codes.join(", ");
}
