// Which of many rows are on screen, so that only those are in the page.

/** What is in the page, and how much space the rest takes, in pixels. */
export interface ListWindow {
  readonly first: number;
  /** The first that is not. */
  readonly end: number;
  readonly above: number;
  readonly below: number;
}

/**
 * The rows between `top` and `bottom`, pixels from the top of the list, and `spare` pixels more on both sides.
 * Every row is `height` high but those in `tall`, which is by index.
 */
export function visibleWindow(
  count: number,
  height: number,
  rowHeights: ReadonlyMap<number, number>,
  top: number,
  bottom: number,
  margin: number,
): ListWindow {
  const exceptions = [...rowHeights].filter(([index]) => index < count).sort(([a], [b]) => a - b);
  const first = indexAt(count, height, exceptions, top - margin);
  const end = Math.min(count, indexAt(count, height, exceptions, bottom + margin) + 1);
  const above = rowOffset(first, height, exceptions);
  const below = rowOffset(count, height, exceptions) - rowOffset(end, height, exceptions);
  return { first, end, above, below };
}

/** Where a row begins. */
export function rowOffset(
  index: number,
  height: number,
  rowHeights: Iterable<readonly [number, number]>,
): number {
  let offset = index * height;
  for (const [at, rowHeight] of rowHeights) if (at < index) offset += rowHeight - height;
  return offset;
}

// The row at a distance from the top: walks the exceptions, counts what lies between.
function indexAt(
  count: number,
  height: number,
  rowHeights: readonly (readonly [number, number])[],
  at: number,
): number {
  let index = 0;
  let offset = 0;
  for (const [next, rowHeight] of rowHeights) {
    const before = (next - index) * height;
    if (at < offset + before) break;
    offset += before;
    index = next;
    if (at < offset + rowHeight) return index;
    offset += rowHeight;
    index += 1;
  }
  const further = Math.max(0, Math.floor((at - offset) / height));
  return Math.max(0, Math.min(count - 1, index + further));
}
