// JSON merge patches (RFC 7396) that do not modify the old value. Parts without a change keep their identity.

/** Returns `target` with `patch` applied. */
export function applyPatch<T>(target: T, patch: unknown): T;
export function applyPatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const old = isRecord(target) ? target : {};
  let result = old === target ? old : { ...old };
  const writable = () => (result === target ? (result = { ...old }) : result);
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value === null) {
      if (key in result) Reflect.deleteProperty(writable(), key);
      continue;
    }
    const patched = applyPatch(old[key], value);
    if (!isUnchanged(patched, old[key])) writable()[key] = patched;
  }
  return result;
}

// Lists are replaced as a whole; an equal list is no change.
function isUnchanged(next: unknown, old: unknown): boolean {
  if (Object.is(next, old)) return true;
  if (!Array.isArray(next) || !Array.isArray(old)) return false;
  return JSON.stringify(next) === JSON.stringify(old);
}

/** True if `value` is an object with keys. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
