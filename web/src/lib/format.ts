// Formatting of numbers, ages and times. The clock is a parameter.

// For an invalid time, such as the date of a build that lacks one.
const UNKNOWN = "unknown";

const MAX_NAMED_NODES = 3;

/** Short age: `42 s`, `3 m`, `5 h`, `9 d`. Both times in milliseconds since the epoch. */
export function formatAge(since: number, now: number): string {
  if (Number.isNaN(since)) return UNKNOWN;
  const seconds = Math.max(0, Math.floor((now - since) / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
}

/** A number in at most four characters and a letter: 940, 1.2 k, 48.1 M. */
export function compactNumber(value: number): string {
  const [scaled, letter] = scale(value);
  if (letter !== "") return `${scaled.toFixed(1)} ${letter}`;
  return scaled > 0 && scaled < 10 && !Number.isInteger(scaled)
    ? scaled.toFixed(1)
    : String(Math.round(scaled));
}

/** Packets per second: `0 pps`, `310 pps`, `1.2 kpps`. */
export function formatPacketRate(perSecond: number): string {
  const text = compactNumber(perSecond);
  return text.includes(" ") ? `${text}pps` : `${text} pps`;
}

/** Bits per second from bytes per second. */
export function formatBitRate(bytesPerSecond: number): string {
  const text = compactNumber(bytesPerSecond * 8);
  return text.includes(" ") ? `${text}bit/s` : `${text} bit/s`;
}

function scale(value: number): [number, string] {
  // 999.95 would round to 1000.0, hence the thresholds.
  if (value >= 999_950_000) return [value / 1e9, "G"];
  if (value >= 999_950) return [value / 1e6, "M"];
  if (value >= 999.5) return [value / 1e3, "k"];
  return [value, ""];
}

/** Time zone of formatted times. */
export type Zone = "utc" | "local";

/** Time of day, `14:02:11`. */
export function timeOfDay(at: number, zone: Zone): string {
  return timeParts(at, zone).time;
}

/** Date and time to the millisecond, for tooltips: `2026-11-23 14:02:11.123 UTC`. */
export function fullTime(at: number, zone: Zone): string {
  const { date, time, millisecond, offset } = timeParts(at, zone);
  if (date === UNKNOWN) return UNKNOWN;
  return `${date} ${time}.${millisecond} ${offset}`;
}

function timeParts(at: number, zone: Zone) {
  if (Number.isNaN(at)) return { date: UNKNOWN, time: UNKNOWN, millisecond: "", offset: "" };
  const date = new Date(at);
  // Local time is UTC shifted by the offset, so that one code path serves both.
  const minutes = zone === "utc" ? 0 : -date.getTimezoneOffset();
  const iso = new Date(at + minutes * 60_000).toISOString();
  const sign = minutes < 0 ? "−" : "+";
  const twoDigits = (part: number) => String(Math.floor(Math.abs(part))).padStart(2, "0");
  const offset = zone === "utc" ? "UTC" : `UTC${sign}${twoDigits(minutes / 60)}:${twoDigits(minutes % 60)}`;
  return { date: iso.slice(0, 10), time: iso.slice(11, 19), millisecond: iso.slice(20, 23), offset };
}

/** `1 node`, `2 nodes`; for nouns with a plural in s. */
export function plural(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** A few names of nodes, or their number. */
export function listNodes(nodes: readonly string[]): string {
  return nodes.length <= MAX_NAMED_NODES ? nodes.join(", ") : `${nodes.length} nodes`;
}
