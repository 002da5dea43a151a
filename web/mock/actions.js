// Changes of the fleet, one function each. Clients receive the result.
import { frontendState } from "./documents.js";

/**
 * @typedef {import("./broker.js").Broker} Broker
 * @typedef {import("../src/sync/contract").BackendState} BackendState
 */

const MAX_TRANSITIONS = 20;

/**
 * Sets the state of a backend on some nodes.
 * @param {Broker} broker
 * @param {string} backend
 * @param {BackendState} to
 * @param {{ code?: import("../src/sync/contract").ProbeCode, nodes?: string[] }} [options] nodes: all by default
 */
export function setBackend(broker, backend, to, { code, nodes } = {}) {
  const { world } = broker;
  const at = new Date().toISOString();
  const affectedNodes = nodes ?? [...world.nodes.keys()].filter((name) => world.node(name).reporting);
  const frontends = [...(world.users.get(backend) ?? [])];
  const effectiveCode = code ?? (to === "up" ? "L7OK" : to === "down" ? "L4TOUT" : undefined);
  /** @type {Map<string, [string, string]>} */
  const changedFrontends = new Map();
  let from = "";
  broker.change(frontends, affectedNodes, () => {
    for (const name of affectedNodes) {
      const node = world.node(name);
      const old = node.health.get(backend);
      if (!old || old.state === to) continue;
      from = old.state;
      const states = frontends.map((frontend) => frontendState(world, node, frontend));
      const past = {
        from: old.state,
        to,
        at,
        ...(effectiveCode === undefined ? {} : { code: effectiveCode }),
      };
      node.health.set(backend, {
        state: to,
        since: at,
        ...(effectiveCode === undefined ? {} : { code: effectiveCode }),
        history: [...old.history, past].slice(-5),
      });
      for (const [index, frontend] of frontends.entries()) {
        const now = frontendState(world, node, frontend);
        if (now === states[index]) continue;
        node.frontendSince.set(frontend, at);
        changedFrontends.set(frontend, [states[index] ?? "", now]);
      }
    }
    if (from) recordTransition(broker, "Backend", backend, from, to, at, effectiveCode, affectedNodes);
    for (const [frontend, [before, now]] of changedFrontends)
      recordTransition(broker, "Frontend", frontend, before, now, at, effectiveCode, affectedNodes);
  });
  if (!from) return;
  for (const name of affectedNodes)
    broker.log(name, logLines(broker, backend, from, to, effectiveCode, frontends, changedFrontends));
}

/**
 * @param {Broker} broker
 * @param {"Backend" | "Frontend"} kind
 * @param {string} name
 * @param {string} from
 * @param {string} to
 * @param {string} at
 * @param {import("../src/sync/contract").ProbeCode | undefined} code
 * @param {string[]} nodes
 */
function recordTransition(broker, kind, name, from, to, at, code, nodes) {
  const id = `${kind} ${name} ${from} ${to} ${at}`;
  /** @type {import("../src/sync/contract").TransitionDetail} */
  const entry = {
    kind,
    name,
    from: /** @type {BackendState} */ (from),
    to: /** @type {BackendState} */ (to),
    at,
    nodes,
    ...(code === undefined ? {} : { code }),
  };
  const all = Object.entries({ ...broker.transitions, [id]: entry });
  all.sort(([, a], [, b]) => (a.at < b.at ? 1 : -1));
  broker.transitions = Object.fromEntries(all.slice(0, MAX_TRANSITIONS));
}

/**
 * @param {Broker} broker
 * @param {string} backend
 * @param {string} from
 * @param {string} to
 * @param {string | undefined} code
 * @param {string[]} users
 * @param {Map<string, [string, string]>} changedFrontends
 * @returns {{ level: "info", name: string, attributes: [string, string][] }[]}
 */
function logLines(broker, backend, from, to, code, users, changedFrontends) {
  const { world } = broker;
  /** @type {[string, string][]} */
  const codeAttributes = code === undefined ? [] : [["code", code]];
  /** @param {string} name @param {[string, string][]} attributes */
  const line = (name, ...attributes) => ({ level: /** @type {const} */ ("info"), name, attributes });
  return [
    line("backend-transition", ["name", backend], ["from", from], ["to", to], ...codeAttributes),
    ...[...changedFrontends].map(([name, [before, now]]) =>
      line("frontend-transition", ["name", name], ["from", before], ["to", now], ...codeAttributes),
    ),
    ...users.map((frontend) => {
      const { vip } = world.spec(frontend);
      return line(
        "vpp-lb-sync-as-weight-updated",
        ["frontend", frontend],
        ["vip", vip.address],
        ["protocol", vip.protocol],
        ["port", String(vip.port)],
        ["backend", backend],
        ["as", world.backends.get(backend)?.address ?? ""],
        ["from", to === "up" ? "0" : "10"],
        ["to", to === "up" ? "10" : "0"],
        ["flush", String(to === "down")],
      );
    }),
    line(
      "vpp-lb-sync-done",
      ["scope", "all"],
      ["vip-added", "0"],
      ["vip-removed", "0"],
      ["as-added", "0"],
      ["as-removed", "0"],
      ["as-weight-updated", String(users.length)],
      ["duration-ms", "1.4"],
    ),
  ];
}

/**
 * Sets the state of the path of a frontend's packets to a backend.
 * @param {Broker} broker
 * @param {string} frontend
 * @param {string} backend
 * @param {Omit<import("../src/sync/contract").PathDetail, "since">} path
 * @param {string[]} [nodes] all by default
 */
export function setPath(broker, frontend, backend, path, nodes = [...broker.world.nodes.keys()]) {
  const { world } = broker;
  broker.change([frontend], nodes, () => {
    for (const name of nodes)
      world.node(name).paths.set(`${frontend} ${backend}`, { ...path, since: new Date().toISOString() });
  });
}

/**
 * Makes a node silent, or lets it report again.
 * @param {Broker} broker
 * @param {string} name
 * @param {boolean} silent
 */
export function silence(broker, name, silent) {
  const change = () => {
    const node = broker.world.node(name);
    node.link = silent ? "unreachable" : "connected";
    node.reporting = !silent;
    if (silent) node.error = "dial tcp 10.0.0.3:9090: connect: connection refused";
    else {
      delete node.error;
      node.lastSeen = new Date().toISOString();
    }
  };
  broker.change([...broker.world.frontends.keys()], [name], change, { numbered: false });
}

/**
 * Makes a node lose its VPP, or reconnect to it.
 * @param {Broker} broker
 * @param {string} name
 * @param {boolean} lost
 */
export function loseVpp(broker, name, lost) {
  broker.change([...broker.world.frontends.keys()], [name], () => {
    const node = broker.world.node(name);
    node.vpp = !lost;
    if (!lost) node.vppSince = new Date().toISOString();
  });
  /** @type {[string, string][]} */
  const attributes = [["reason", "control_ping was not answered for 10 s"]];
  if (lost) broker.log(name, [{ level: "warn", name: "vpp-disconnect", attributes }]);
}

/**
 * Sets the problems of an object.
 * @param {Broker} broker
 * @param {string} key
 * @param {import("../src/sync/contract").ProblemDetail[]} problems
 * @param {boolean} [held]
 */
export function setProblems(broker, key, problems, held = false) {
  const [kind = "", name = ""] = key.split(" ");
  const frontends = kind === "Frontend" ? [name] : [...(broker.world.users.get(name) ?? [])];
  broker.change(frontends, [...broker.world.nodes.keys()], () => {
    if (problems.length > 0) broker.world.problems.set(key, { problems, held });
    else broker.world.problems.delete(key);
    for (const node of broker.world.nodes.values()) {
      if (held && kind === "Frontend") node.reports.set(name, { result: "Held", generation: 3 });
    }
  });
  for (const node of broker.world.nodes.keys()) {
    broker.log(
      node,
      problems.map(({ reason, field, message }) => ({
        level: "warn",
        name: "config-rejected",
        attributes: [
          ["kind", kind],
          ["name", name],
          ["generation", "3"],
          ["field", field],
          ["reason", reason],
          ["message", message],
        ],
      })),
    );
  }
}

/**
 * Adds five seconds of traffic on every node that reports.
 * @param {Broker} broker
 * @param {number} [fraction] the fraction of frontends whose rate changes
 */
export function count(broker, fraction = 1) {
  const { world } = broker;
  const frontends = [...world.frontends.keys()].filter(() => world.random() < fraction);
  const nodes = [...world.nodes.keys()].filter((name) => world.node(name).reporting);
  broker.change(
    frontends,
    nodes,
    () => {
      for (const name of nodes) {
        const node = world.node(name);
        node.lastSeen = new Date().toISOString();
        for (const frontend of frontends) {
          const rate = node.rates.get(frontend) ?? 0;
          node.packets.set(frontend, (node.packets.get(frontend) ?? 0) + rate * 5);
          node.rates.set(frontend, Math.max(1, Math.round(rate * (0.85 + world.random() * 0.3))));
        }
      }
    },
    { numbered: false },
  );
}

/**
 * Sends a round of probes on every node.
 * @param {Broker} broker
 * @param {"start" | "done"} phase
 */
export function probe(broker, phase) {
  const { world } = broker;
  for (const [name, node] of world.nodes) {
    if (
      !node.reporting ||
      ![...broker.clients].some(({ filter }) => filter.node === name && filter.beats.length > 0)
    )
      continue;
    /** @type {Record<string, import("../src/sync/contract").Heartbeat>} */
    const beats = {};
    for (const [backend, { state, code }] of node.health) {
      if (state === "paused" || state === "disabled" || world.random() < 0.3) continue;
      beats[backend] =
        phase === "start"
          ? { phase }
          : { phase, code: code ?? "L7OK", ok: state === "up", ms: 1 + world.random() * 4 };
    }
    broker.beats(name, beats);
  }
}
