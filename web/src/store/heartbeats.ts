// Heartbeats on their way to the hearts on screen. Not a signal: four times a second for two hundred backends is too
// much to go through the page, and nothing else hangs on it.
import type { Named } from "../sync/contract";
import type { Beat } from "../sync/message";

type Heart = (beat: Beat) => void;

const hearts = new Map<string, Set<Heart>>();

/** Shows the heartbeats of a backend from now on; the result ends it. */
export function hearBeats(node: string, backend: string, heart: Heart): () => void {
  const key = `${node} ${backend}`;
  const others = hearts.get(key) ?? new Set();
  others.add(heart);
  hearts.set(key, others);
  return () => {
    others.delete(heart);
    if (others.size === 0 && hearts.get(key) === others) hearts.delete(key);
  };
}

/** Takes a node's heartbeats. */
export function takeBeats(node: string, beats: Named<Beat>): void {
  for (const [backend, beat] of Object.entries(beats)) {
    for (const heart of hearts.get(`${node} ${backend}`) ?? []) heart(beat);
  }
}
