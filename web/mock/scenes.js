// Scenes: small fleets in every state that the page has a design for, and one at full size.
import { setBackend, setPath, silence, setProblems, loseVpp } from "./actions.js";
import { Broker } from "./broker.js";
import { minutesAgo, World } from "./fleet-model.js";

/** @type {Record<string, () => Broker>} */
export const SCENES = { small, healthy, incident, empty, "no-frontends": noFrontends, wide, big };

/** A small first fleet: two nodes, a few frontends, one of them on its standby pool. */
function small() {
  const broker = healthy(["node-a", "node-b"]);
  setBackend(broker, "shop/api-1", "down", { code: "L7STS" });
  setBackend(broker, "shop/api-2", "down", { code: "L7STS" });
  return broker;
}

/**
 * Everything is up.
 * @param {string[]} [nodes]
 */
function healthy(nodes = ["node-a", "node-b"]) {
  const world = new World();
  for (const name of nodes) world.addNode(name);
  const shop = (/** @type {string} */ name, /** @type {number} */ count, /** @type {string} */ prefix) => {
    const members = [];
    for (let index = 1; index <= count; index++) {
      world.addBackend(`${name}-${index}`, `${prefix}${index}`);
      members.push({ backend: `${name}-${index}`, weight: index === 1 ? 20 : 10 });
    }
    return members;
  };
  const web = shop("shop/web", 4, "10.1.0.");
  world.addFrontend("shop/web", vip("203.0.113.10", "tcp", 443), [{ name: "primary", members: web }]);
  world.addFrontend("shop/web-plain", vip("203.0.113.10", "tcp", 80), [{ name: "primary", members: web }]);
  world.addFrontend("shop/api", vip("203.0.113.11", "tcp", 443), [
    { name: "primary", members: shop("shop/api", 2, "10.1.1.") },
    { name: "standby", members: shop("shop/api-spare", 2, "10.9.1.") },
  ]);
  world.addFrontend("blog/www", vip("2001:db8::80", "tcp", 80), [
    { name: "primary", members: shop("blog/www", 3, "2001:db8:1::") },
  ]);
  world.addFrontend("dns/resolver", vip("203.0.113.53", "udp", 53), [
    { name: "main", members: shop("dns/resolver", 2, "10.2.0.") },
  ]);
  world.addFrontend("lab/everything", vip("203.0.113.99", "any", 0), [
    { name: "main", members: shop("lab/host", 1, "10.3.0.") },
  ]);
  return new Broker(world);
}

/** An incident: a VIP down, a silent node, a lost VPP, a rejected object, a hold, nodes that disagree, broken paths. */
function incident() {
  const nodes = "abcdefghij".split("").map((letter) => `node-${letter}`);
  const broker = healthy(nodes);
  for (let index = 1; index <= 4; index++)
    setBackend(broker, `shop/web-${index}`, "down", { code: "L4TOUT" });
  for (const index of [1, 2]) setBackend(broker, `shop/api-${index}`, "down", { code: "L7STS" });
  setBackend(broker, "blog/www-2", "down", { nodes: ["node-b"], code: "L4CON" });
  setBackend(broker, "dns/resolver-2", "paused");
  setProblems(broker, "Frontend lab/everything", [
    {
      reason: "BackendNotFound",
      field: "spec.pools[main].backends[host-9]",
      message: "Backend lab/host-9 does not exist; the member is left out until it does",
    },
  ]);
  setProblems(broker, "HealthCheck dns/icmp", [
    {
      reason: "MissingCapability",
      field: "spec.type",
      message: "this build does not probe ICMP; its backends stay unknown",
    },
  ]);
  const timeout = /** @type {const} */ ({
    state: "PathTimeout",
    detail: "no answer from the VIP to a SYN in the tunnel",
  });
  setPath(broker, "shop/web", "shop/web-2", timeout);
  setPath(broker, "shop/web", "shop/web-3", { state: "Unknown" });
  setPath(
    broker,
    "blog/www",
    "blog/www-1",
    { state: "MtuTooSmall", detail: "a packet of 1500 bytes was lost, and a small one passed" },
    ["node-a", "node-b"],
  );
  silence(broker, "node-j", true);
  loseVpp(broker, "node-d", true);
  broker.change([], ["node-c"], () => {
    const node = broker.world.node("node-c");
    node.failedSteps = 2;
    node.holds = {
      "h-17": {
        subject: "6 removals",
        until: minutesAgo(-4),
      },
    };
  });
  broker.change(["dns/resolver"], ["node-c"], () => {
    broker.world
      .node("node-c")
      .reports.set("dns/resolver", { result: "Failed", reason: "VppRefused", generation: 3 });
  });
  return broker;
}

/** No agents. */
function empty() {
  return new Broker(new World());
}

/** Agents without frontends. */
function noFrontends() {
  const world = new World();
  world.addNode("node-a");
  world.addNode("node-b");
  return new Broker(world);
}

/** One frontend with more backends than heartbeats are shown for. */
function wide() {
  const world = new World();
  world.addNode("node-a");
  const members = [];
  for (let index = 1; index <= 60; index++) {
    world.addBackend(`shop/web-${index}`, `10.1.0.${index}`);
    members.push({ backend: `shop/web-${index}`, weight: 10 });
  }
  world.addFrontend("shop/web", vip("203.0.113.10", "tcp", 443), [{ name: "primary", members }]);
  return new Broker(world);
}

/** 10 nodes, 1,000 frontends, 10,000 backends. */
function big() {
  const world = new World();
  for (let index = 0; index < 10; index++) world.addNode(`node-${String.fromCharCode(97 + index)}`);
  for (let index = 0; index < 1000; index++) {
    const namespace = `team-${String(index % 25).padStart(2, "0")}`;
    const name = `${namespace}/service-${String(index).padStart(4, "0")}`;
    const members = [];
    for (let member = 0; member < 10; member++) {
      const backend = `${name}-${member}`;
      world.addBackend(backend, `10.${100 + (index >> 8)}.${index & 255}.${member + 1}`);
      members.push({ backend, weight: 10 });
    }
    const pools = [
      { name: "primary", members: members.slice(0, 7) },
      { name: "standby", members: members.slice(7) },
    ];
    const address =
      index % 10 === 9 ? `2001:db8:0:${index.toString(16)}::443` : `203.0.${index >> 8}.${index & 255}`;
    world.addFrontend(name, vip(address, "tcp", 443), pools);
  }
  const broker = new Broker(world);
  for (let index = 0; index < 1000; index += 97) {
    const name = [...world.frontends.keys()][index] ?? "";
    for (let member = 0; member < (index % 2 === 0 ? 10 : 7); member++)
      setBackend(broker, `${name}-${member}`, "down");
  }
  return broker;
}

/**
 * @param {string} address
 * @param {string} protocol
 * @param {number} port
 */
function vip(address, protocol, port) {
  return { address, protocol, port };
}
