// The window of a long list: only its rows near the screen are rendered.

/** The rendered rows, and the heights of the rest in pixels. */
export interface ListWindow {
  readonly first: number;
  /** Exclusive. */
  readonly end: number;
  readonly above: number;
  readonly below: number;
}

/**
 * The window from `top` to `bottom`, in pixels from the top of the list, with `margin` pixels more on both sides.
 * Every row is `height` high except those in `rowHeights`, by index.
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

/** Offset of a row from the top of the list. */
export function rowOffset(
  index: number,
  height: number,
  rowHeights: Iterable<readonly [number, number]>,
): number {
  let offset = index * height;
  for (const [at, rowHeight] of rowHeights) if (at < index) offset += rowHeight - height;
  return offset;
}

// Index of the row at an offset. Walks the exceptions and divides the distances between them.
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
