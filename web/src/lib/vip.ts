// Formatting of VIPs.
import type { Vip } from "../sync/contract";

/** `203.0.113.10:443 TCP`, `[2001:db8::80]:80 TCP`, `203.0.113.99 any`. */
export function formatVip({ address, protocol, port }: Vip): string {
  if (protocol === "any") return `${address} any`;
  const host = address.includes(":") ? `[${address}]` : address;
  return `${host}:${port} ${protocol.toUpperCase()}`;
}
