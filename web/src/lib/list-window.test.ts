// The window of a long list.
import { describe, expect, it } from "vitest";
import { rowOffset, visibleWindow } from "./list-window";

const none = new Map<number, number>();

describe("the window of a long list", () => {
  it("has the rows on screen and a margin", () => {
    expect(visibleWindow(1000, 28, none, 2800, 3640, 280)).toEqual({
      first: 90,
      end: 141,
      above: 90 * 28,
      below: (1000 - 141) * 28,
    });
  });

  it("has all rows of a short list", () => {
    expect(visibleWindow(3, 28, none, 0, 900, 400)).toEqual({ first: 0, end: 3, above: 0, below: 0 });
  });

  it("is empty for an empty list", () => {
    expect(visibleWindow(0, 28, none, 0, 900, 400)).toEqual({ first: 0, end: 0, above: 0, below: 0 });
  });

  it("uses the heights of opened rows", () => {
    const tall = new Map([
      [2, 528],
      [5, 128],
    ]);
    expect(rowOffset(2, 28, tall)).toBe(56);
    expect(rowOffset(3, 28, tall)).toBe(56 + 528);
    expect(rowOffset(6, 28, tall)).toBe(5 * 28 - 28 + 528 + 128);
    // 300 px is inside of the opened row 2; 590 px is in row 3.
    expect(visibleWindow(100, 28, tall, 300, 590, 0)).toMatchObject({ first: 2, end: 4, above: 56 });
  });

  it("adds up to the full height at any position", () => {
    const tall = new Map([
      [3, 300],
      [40, 77],
      [99, 500],
    ]);
    const whole = rowOffset(100, 28, tall);
    for (let top = 0; top < whole; top += 37) {
      const { first, end, above, below } = visibleWindow(100, 28, tall, top, top + 200, 0);
      const shown = rowOffset(end, 28, tall) - rowOffset(first, 28, tall);
      expect(above + shown + below).toBe(whole);
      expect(above).toBeLessThanOrEqual(top);
      expect(above + shown).toBeGreaterThanOrEqual(Math.min(whole, top + 200));
    }
  });
});
