// What holds of the page on any server holds on a cluster's: axe in both colours and on a phone, the keyboard, filters.
import { cluster } from "./cluster.js";

const [replica] = await cluster.dashboards();
process.env["MAGLEV_DASHBOARD_URL"] = `http://${replica?.address ?? ""}/view/`;
await import("../any-server.test.js");
