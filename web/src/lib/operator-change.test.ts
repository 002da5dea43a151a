// The words around a change by hand.
import { describe, expect, it } from "vitest";
import type { ChangeResult } from "../sync/admin";
import { previewMessage, progressSummary, warnings, parseWeight, changeSummary } from "./operator-change";

const changed: ChangeResult = {
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
    expect(previewMessage(preview)).toEqual({ text: "It touches shop/api, shop/web.", requiresForce: false });
    expect(previewMessage({ ...preview, touches: [] }).text).toBe("It touches no Frontend.");
  });

  it("says first whom it leaves without traffic", () => {
    const { text, requiresForce } = previewMessage({ ...preview, leaves_unserved: ["shop/web"] });
    expect(text).toBe("It leaves shop/web without any effective weight. It touches shop/api as well.");
    expect(requiresForce).toBe(true);
  });

  it("does not take silence for safety", () => {
    expect(previewMessage({ ...preview, touches: [], nodes: 0 }).requiresForce).toBe(true);
  });
});

describe("the result", () => {
  it("says from what to what, and who has it", () => {
    expect(changeSummary(changed)).toBe("adminState of Backend shop/web-1: Enabled (not set) → Paused");
    expect(progressSummary(changed)).toBe("in effect on 10/10 nodes after 0.8 s");
    expect(warnings(changed)).toEqual([]);
  });

  it("says what was not written, whose it was, and who waits", () => {
    expect(changeSummary({ ...changed, written: false })).toContain("is Paused already: nothing was written");
    const late = {
      ...changed,
      taken_from: ["kubectl"],
      event_failed: "403",
      pending: { "node-a": "silent" },
    };
    expect(warnings(late)).toEqual([
      "taken from kubectl, which may put it back",
      "its Kubernetes Event could not be written: 403",
      "node-a: silent",
    ]);
  });
});

describe("a weight", () => {
  it("is a whole number from 0 to 100", () => {
    expect(["0", "7", "100"].map(parseWeight)).toEqual([0, 7, 100]);
    for (const text of ["", "101", "-1", "1.5", "1e1", " 1", "x"])
      expect(parseWeight(text), text).toBeUndefined();
  });
});
