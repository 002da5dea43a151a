// Simulates activity in a fleet: probes, counters, ticks, and optionally backends that change state.
import { count, probe, setBackend } from "./actions.js";

/**
 * @param {import("./broker.js").Broker} broker
 * @param {{ flap?: boolean, tickMs?: number }} [options] flap: backends change state at random
 * @returns {() => void} stops it
 */
export function simulateActivity(broker, { flap = false, tickMs = 15_000 } = {}) {
  const { world } = broker;
  const big = world.frontends.size > 100;
  let phase = false;
  const timers = [
    setInterval(() => broker.tick(), tickMs),
    setInterval(() => count(broker, big ? 0.2 : 1), 5000),
    setInterval(() => {
      phase = !phase;
      probe(broker, phase ? "start" : "done");
    }, 500),
  ];
  if (flap) {
    const names = [...world.backends.keys()];
    const flipOne = () => {
      const backend = names[Math.floor(world.random() * names.length)];
      if (backend === undefined) return;
      const node = [...world.nodes.values()].find(({ reporting }) => reporting);
      const state = node?.health.get(backend)?.state;
      setBackend(broker, backend, state === "up" ? "down" : "up");
    };
    timers.push(setInterval(flipOne, big ? 500 : 3000));
  }
  return () => timers.forEach((timer) => clearInterval(timer));
}
