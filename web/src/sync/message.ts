// The messages of the stream, by the names of their events.
import type { AsOf, AsOfs, Named, ObjectInfo, Patch, Time } from "./contract";

/** The first message of a stream: where it starts. */
export interface Hello {
  /** What was missed follows: documents that are shown already need not be fetched again. */
  readonly resumed: boolean;
  readonly replica: string;
  readonly now: Time;
  readonly nodes: AsOfs;
  readonly version: string;
  readonly beats?: { readonly asked: number; readonly watched: number };
}

/** A line of an agent's log. */
export interface Line {
  readonly seq?: number;
  readonly time: Time;
  readonly level: "debug" | "info" | "warn" | "error";
  readonly name: string;
  readonly attributes: readonly (readonly [string, string])[];
}

/** The last that happened to a backend's probe. */
export interface Beat {
  readonly phase: "start" | "done";
  readonly code?: string;
  readonly ok?: boolean;
  readonly ms?: number;
}

/** A message of the stream. */
export type Message =
  | { readonly event: "hello"; readonly data: Hello }
  | { readonly event: "summary"; readonly data: { readonly as_of?: AsOfs; readonly patch: Patch } }
  | {
      readonly event: "node";
      readonly data: { readonly node: string; readonly as_of?: AsOf; readonly patch: Patch };
    }
  | { readonly event: "object"; readonly data: { readonly key: string; readonly object?: ObjectInfo } }
  | {
      readonly event: "log";
      readonly data: { readonly node: string; readonly epoch: string; readonly lines: readonly Line[] };
    }
  | { readonly event: "beats"; readonly data: { readonly node: string; readonly beats: Named<Beat> } }
  | { readonly event: "tick"; readonly data: { readonly now: Time } }
  | { readonly event: "resync"; readonly data: { readonly reason: string } };

/** The names of messages. */
export const EVENTS = ["hello", "summary", "node", "object", "log", "beats", "tick", "resync"] as const;
