// The id of a message: which replica sent it, and its number there. Numbers of one replica only grow.

/** `<replica>-<number>`, taken apart. */
export interface MessageId {
  readonly replica: string;
  readonly number: number;
}

/** Takes an id apart; `undefined` for a message without one. */
export function parseId(id: string): MessageId | undefined {
  const dash = id.lastIndexOf("-");
  const number = Number(id.slice(dash + 1));
  return dash > 0 && Number.isInteger(number) ? { replica: id.slice(0, dash), number } : undefined;
}

/** Whether a message with `id` was taken before one with `last` was. */
export function isPast(id: MessageId | undefined, last: MessageId | undefined): boolean {
  return id !== undefined && last !== undefined && id.replica === last.replica && id.number <= last.number;
}
