// Heartbeats on their way to the hearts on screen. Not a signal: four times a second for two hundred backends is too
// much to go through the page, and nothing else hangs on it.
import type { Named } from "../sync/contract";
import type { Beat } from "../sync/message";

type HeartbeatListener = (beat: Beat) => void;

const listeners = new Map<string, Set<HeartbeatListener>>();

/** Shows the heartbeats of a backend from now on; the result ends it. */
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

/** Takes a node's heartbeats. */
export function publishHeartbeats(node: string, beats: Named<Beat>): void {
  for (const [backend, beat] of Object.entries(beats)) {
    for (const listener of listeners.get(`${node} ${backend}`) ?? []) listener(beat);
  }
}
