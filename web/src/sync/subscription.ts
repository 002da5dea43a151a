// The subscription of a page, which is encoded in the URL of its stream.

/** Subscribed data beyond the summary. */
export interface Subscription {
  /** The node whose tab is open. */
  readonly node: string | null;
  /** Opened frontends. */
  readonly open: readonly string[];
  /** `"all"`, a node, or `null` for no log. */
  readonly log: string | null;
  /** Frontends on screen whose backends' heartbeats are shown; needs `node`. */
  readonly beats: readonly string[];
  /** Includes the probes of those backends in the log. */
  readonly debug: boolean;
}

/** The summary only. */
export const EMPTY_SUBSCRIPTION: Subscription = { node: null, open: [], log: null, beats: [], debug: false };

/** The URL of the stream. Independent of the order of names. */
export function streamUrl(subscription: Subscription, since: string | undefined): string {
  const parameters: [string, string][] = [];
  const list = (names: readonly string[]) => [...names].sort().map(encodeURIComponent).join(",");
  if (subscription.node !== null) parameters.push(["node", encodeURIComponent(subscription.node)]);
  if (subscription.open.length > 0) parameters.push(["open", list(subscription.open)]);
  if (subscription.log !== null) parameters.push(["log", encodeURIComponent(subscription.log)]);
  if (subscription.node !== null && subscription.beats.length > 0) {
    parameters.push(["beats", list(subscription.beats)]);
    if (subscription.debug) parameters.push(["debug", "1"]);
  }
  if (since !== undefined) parameters.push(["since", encodeURIComponent(since)]);
  const query = parameters.map(([key, value]) => `${key}=${value}`).join("&");
  return query ? `api/events?${query}` : "api/events";
}
