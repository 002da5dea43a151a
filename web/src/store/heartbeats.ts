// Distribution of heartbeats to the elements on screen. Not a signal: four updates a second for two hundred backends
// would be too expensive, and nothing else depends on them.
import type { Heartbeat, Named } from "../sync/contract";

type HeartbeatListener = (beat: Heartbeat) => void;

const listeners = new Map<string, Set<HeartbeatListener>>();

/** Calls `listener` for every heartbeat of a backend. The result unsubscribes. */
export function subscribeHeartbeats(node: string, backend: string, listener: HeartbeatListener): () => void {
  const key = `${node} ${backend}`;
  const keyListeners = listeners.get(key) ?? new Set();
  keyListeners.add(listener);
  listeners.set(key, keyListeners);
  return () => {
    keyListeners.delete(listener);
    if (keyListeners.size === 0 && listeners.get(key) === keyListeners) listeners.delete(key);
  };
}

/** Publishes heartbeats of a node. */
export function publishHeartbeats(node: string, beats: Named<Heartbeat>): void {
  for (const [backend, beat] of Object.entries(beats)) {
    for (const listener of listeners.get(`${node} ${backend}`) ?? []) listener(beat);
  }
}
