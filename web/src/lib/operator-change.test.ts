// The words around a change by hand.
import { describe, expect, it } from "vitest";
import type { Changed } from "../sync/admin";
import { confirmation, effect, remarks, weightOf, written } from "./operator-change";

const changed: Changed = {
  change: "adminState of Backend shop/web-1",
  old: "Enabled (not set)",
  new: "Paused",
  written: true,
  by: "ada",
  taken_from: [],
  in_effect_on: 10,
  nodes: 10,
  seconds: 0.8,
  pending: {},
};
const preview = { change: "", touches: ["shop/api", "shop/web"], leaves_unserved: [], nodes: 2 };

describe("the confirmation", () => {
  it("names the Frontends that it touches", () => {
    expect(confirmation(preview)).toEqual({ text: "It touches shop/api, shop/web.", hurts: false });
    expect(confirmation({ ...preview, touches: [] }).text).toBe("It touches no Frontend.");
  });

  it("says first whom it leaves without traffic", () => {
    const { text, hurts } = confirmation({ ...preview, leaves_unserved: ["shop/web"] });
    expect(text).toBe("It leaves shop/web without any effective weight. It touches shop/api as well.");
    expect(hurts).toBe(true);
  });

  it("does not take silence for safety", () => {
    expect(confirmation({ ...preview, touches: [], nodes: 0 }).hurts).toBe(true);
  });
});

describe("the result", () => {
  it("says from what to what, and who has it", () => {
    expect(written(changed)).toBe("adminState of Backend shop/web-1: Enabled (not set) → Paused");
    expect(effect(changed)).toBe("in effect on 10/10 nodes after 0.8 s");
    expect(remarks(changed)).toEqual([]);
  });

  it("says what was not written, whose it was, and who waits", () => {
    expect(written({ ...changed, written: false })).toContain("is Paused already: nothing was written");
    const late = {
      ...changed,
      taken_from: ["kubectl"],
      event_failed: "403",
      pending: { "node-a": "silent" },
    };
    expect(remarks(late)).toEqual([
      "taken from kubectl, which may put it back",
      "its Kubernetes Event could not be written: 403",
      "node-a: silent",
    ]);
  });
});

describe("a weight", () => {
  it("is a whole number from 0 to 100", () => {
    expect(["0", "7", "100"].map(weightOf)).toEqual([0, 7, 100]);
    for (const text of ["", "101", "-1", "1.5", "1e1", " 1", "x"])
      expect(weightOf(text), text).toBeUndefined();
  });
});
