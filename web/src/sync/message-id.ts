// Message ids: the sending replica, and a number that increases within the replica.

/** The parts of `<replica>-<number>`. */
export interface MessageId {
  readonly replica: string;
  readonly number: number;
}

/** Parses an id. `undefined` for a message without one. */
export function parseId(id: string): MessageId | undefined {
  const dash = id.lastIndexOf("-");
  const number = Number(id.slice(dash + 1));
  return dash > 0 && Number.isInteger(number) ? { replica: id.slice(0, dash), number } : undefined;
}

/** True if `id` is not newer than `last`. */
export function isPast(id: MessageId | undefined, last: MessageId | undefined): boolean {
  return id !== undefined && last !== undefined && id.replica === last.replica && id.number <= last.number;
}
