// Merges a new version of a value into the old one: equal parts keep their identity. Comparing by identity then yields
// exactly the changes, and a refetch of the same state neither flashes nor repaints.
import { isRecord } from "./patch";

/** `next`, with every part that equals its counterpart in `old` replaced by that counterpart. */
export function merge<T>(old: unknown, next: T): T {
  if (Object.is(old, next)) return next;
  if (Array.isArray(next)) return mergeArray(Array.isArray(old) ? old : [], next) as T;
  if (isRecord(next)) return mergeRecord(isRecord(old) ? old : {}, next) as T;
  return next;
}

function mergeArray(old: unknown[], next: unknown[]): unknown[] {
  let same = old.length === next.length;
  const merged = next.map((item, index) => {
    const mergedItem = merge(old[index], item);
    same &&= Object.is(mergedItem, old[index]);
    return mergedItem;
  });
  return same ? old : merged;
}

function mergeRecord(old: Record<string, unknown>, next: Record<string, unknown>): Record<string, unknown> {
  const keys = Object.keys(next);
  let same = Object.keys(old).length === keys.length;
  const merged: Record<string, unknown> = {};
  for (const key of keys) {
    const mergedValue = merge(old[key], next[key]);
    same &&= key in old && Object.is(mergedValue, old[key]);
    merged[key] = mergedValue;
  }
  return same ? old : merged;
}
