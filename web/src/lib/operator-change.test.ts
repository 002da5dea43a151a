// Texts of an operator change.
import { describe, expect, it } from "vitest";
import type { ChangeReport } from "../sync/contract";
import { previewMessage, progressSummary, warnings, parseWeight, changeSummary } from "./operator-change";

const changed: ChangeReport = {
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
const preview = { change: "", touches: ["shop/api", "shop/web"], effects: [], leaves_unserved: [], nodes: 2 };

describe("the preview", () => {
  it("names the affected Frontends", () => {
    expect(previewMessage(preview)).toEqual({ text: "Affects shop/api, shop/web.", requiresForce: false });
    expect(previewMessage({ ...preview, touches: [] }).text).toBe("Affects no Frontend.");
  });

  it("starts with the Frontends that lose all traffic", () => {
    const { text, requiresForce } = previewMessage({ ...preview, leaves_unserved: ["shop/web"] });
    expect(text).toBe("Leaves shop/web without any effective weight. Also affects shop/api.");
    expect(requiresForce).toBe(true);
  });

  it("requires force if no node responds", () => {
    expect(previewMessage({ ...preview, touches: [], nodes: 0 }).requiresForce).toBe(true);
  });
});

describe("the result", () => {
  it("has the old and the new value, and the progress", () => {
    expect(changeSummary(changed)).toBe("adminState of Backend shop/web-1: Enabled (not set) → Paused");
    expect(progressSummary(changed)).toBe("in effect on 10/10 nodes after 0.8 s");
    expect(warnings(changed)).toEqual([]);
  });

  it("has what was not written, the former owner, and the pending nodes", () => {
    expect(changeSummary({ ...changed, written: false })).toContain("is already Paused; nothing was written");
    const late = {
      ...changed,
      taken_from: ["kubectl"],
      event_failed: "403",
      pending: { "node-a": "silent" },
    };
    expect(warnings(late)).toEqual([
      "taken over from kubectl, which may revert it",
      "the Kubernetes Event could not be written: 403",
      "node-a: silent",
    ]);
  });
});

describe("a weight", () => {
  it("is an integer from 0 to 100", () => {
    expect(["0", "7", "100"].map(parseWeight)).toEqual([0, 7, 100]);
    for (const text of ["", "101", "-1", "1.5", "1e1", " 1", "x"])
      expect(parseWeight(text), text).toBeUndefined();
  });
});
