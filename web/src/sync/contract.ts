// The types of the server's API: documents, messages of the stream, requests and responses of operator changes. Unknown
// values are absent.
import type { Position } from "./contract/values";

export type * from "./contract/admin";
export type * from "./contract/documents";
export type * from "./contract/messages";
export type * from "./contract/node";
export type * from "./contract/summary";
export type * from "./contract/values";

/** Values by name. */
export type Named<T> = Readonly<Record<string, T>>;

/** Positions by node. */
export type Positions = Named<Position>;
