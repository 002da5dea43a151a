// The tests that hold on any server, on a cluster's: axe in both colours and on a phone, the keyboard, filters.
import { prepareCluster } from "./fixture.js";

const { address } = await prepareCluster();
process.env["MAGLEV_DASHBOARD_URL"] = `http://${address}/view/`;
await import("../any-server.test.js");
