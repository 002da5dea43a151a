// Serves the built page on a fleet in memory, to use the page without a cluster:
//   npm run build && npm run mock -- incident --flap --port 8080
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { MockHttp } from "./http.js";
import { simulateActivity } from "./activity.js";
import { SCENES } from "./scenes.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { flap: { type: "boolean", default: false }, port: { type: "string", default: "8080" } },
});
const scene = positionals[0] ?? "small";
const make = SCENES[scene];
if (!make) {
  console.error(`no scene ${scene}; available: ${Object.keys(SCENES).join(", ")}`);
  process.exit(1);
}
const broker = make();
const mock = new MockHttp(broker, fileURLToPath(new URL("../dist", import.meta.url)));
simulateActivity(broker, { flap: values.flap });
console.log(`${scene}: ${await mock.listen(Number(values.port))}`);
