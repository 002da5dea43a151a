// Contrast of every text colour on every surface that it is used on, in both themes, computed from tokens.css by the
// formula of WCAG.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const css = readFileSync(new URL("tokens.css", import.meta.url), "utf8");
const tokens = new Map(
  [...css.matchAll(/--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)/g)].map(
    ([, name, light, dark]) => [name ?? "", { light: light ?? "", dark: dark ?? "" }],
  ),
);

const STATES = ["up", "down", "standby", "paused", "unknown", "disabled"];
const EVENTS = ["event-add", "event-remove", "event-weight"];
const GROUNDS = ["surface", "surface-raised", "surface-hover"];
const PAIRS: [string, string][] = [
  ...["text", "text-dim", "accent", ...STATES].flatMap((foreground) =>
    GROUNDS.map((background): [string, string] => [foreground, background]),
  ),
  ...["text", "text-dim", ...STATES].map((foreground): [string, string] => [foreground, "hatch"]),
  ...EVENTS.map((foreground): [string, string] => [foreground, "surface"]),
  ...["text", "text-dim", "down", "up", "standby"].map((foreground): [string, string] => [
    foreground,
    "down-surface",
  ]),
  ["standby", "standby-surface"],
  ["text", "standby-surface"],
  ["accent", "accent-surface"],
  ["text", "accent-surface"],
  ...["text", "text-dim", ...STATES].map((foreground): [string, string] => [foreground, "flash"]),
];

describe.each(["light", "dark"] as const)("in the %s theme", (theme) => {
  it.each(PAIRS)("%s is legible on %s", (foreground, background) => {
    expect(contrast(color(foreground, theme), color(background, theme))).toBeGreaterThanOrEqual(4.5);
  });

  it("has shapes, bars and lines that stand out from the surface", () => {
    for (let index = 0; index < 10; index++) {
      expect(contrast(color(`hue-${index}`, theme), color("surface", theme))).toBeGreaterThanOrEqual(3);
    }
    expect(contrast(color("line-strong", theme), color("surface", theme))).toBeGreaterThanOrEqual(3);
  });
});

function color(name: string, theme: "light" | "dark"): string {
  const token = tokens.get(name);
  if (!token) throw new Error(`no token --${name}`);
  return token[theme];
}

function contrast(a: string, b: string): number {
  const [light = 0, dark = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(hex: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
