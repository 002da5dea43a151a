// Computes JSON merge patches.

/**
 * @param {unknown} from
 * @param {unknown} to
 * @returns {unknown} the patch from `from` to `to`; `undefined` = equal
 */
export function difference(from, to) {
  if (!isRecord(from) || !isRecord(to)) {
    return JSON.stringify(from) === JSON.stringify(to) ? undefined : to;
  }
  /** @type {Record<string, unknown>} */
  const patch = {};
  for (const key of Object.keys(from)) if (!(key in to) || to[key] === undefined) patch[key] = null;
  for (const [key, value] of Object.entries(to)) {
    if (value === undefined) continue;
    const part = key in from ? difference(from[key], value) : value;
    if (part !== undefined) patch[key] = part;
  }
  return Object.keys(patch).length > 0 ? patch : undefined;
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
