import { describe, expect, it } from "vitest";
import { readAccess } from "./read-access";

const signed_in = { who: "ada", csrf: "x", ends: 1 };

describe("the right to read", () => {
  it("requires a session only where the server requires one", () => {
    const open = { to_read: false, to_change: true } as const;
    const guarded = { mode: "token", to_read: true, to_change: false } as const;
    expect(readAccess(open, "unknown")).toBe("open");
    expect(readAccess({ ...open, mode: "basic", signed_in }, "open")).toBe("open");
    expect(readAccess(guarded, "unknown")).toBe("closed");
    expect(readAccess(guarded, "open")).toBe("closed");
    expect(readAccess({ ...guarded, signed_in }, "closed")).toBe("open");
  });

  it("stays as it was while the server does not answer", () => {
    expect(readAccess(undefined, "unknown")).toBe("open");
    expect(readAccess(undefined, "open")).toBe("open");
    expect(readAccess(undefined, "closed")).toBe("closed");
  });
});
