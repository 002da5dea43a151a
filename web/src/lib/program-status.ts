// Progress of programming a frontend, as text.
import type { FrontendDetail, Named, FrontendParts } from "../sync/contract";
import { groupByValue } from "./pools";

/** Progress on one node: "programmed 7", "Failed VppRefused", "not reported yet". */
export function programStatus({ report }: FrontendDetail): string {
  if (!report) return "not reported yet";
  if (report.result === "Programmed") return `programmed ${report.generation}`;
  return report.reason ? `${report.result} ${report.reason}` : report.result;
}

/** Progress over several nodes: "programmed 7 on 9 nodes, Failed VppRefused on node-c". */
export function programSummary(frontend: string, cuts: Named<FrontendParts>): string {
  const statuses = Object.entries(cuts).flatMap(([node, cut]) => {
    const detail = cut.frontends[frontend];
    return detail ? ([[node, programStatus(detail)]] as const) : [];
  });
  return groupByValue(statuses)
    .map(
      ({ value, nodes }) => `${value} on ${nodes.length === 1 ? (nodes[0] ?? "") : `${nodes.length} nodes`}`,
    )
    .join(", ");
}
