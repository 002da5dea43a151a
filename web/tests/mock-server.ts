// A mock server for one test, with its fleet at hand.
import { fileURLToPath } from "node:url";
import { simulateActivity } from "../mock/activity.js";
import { MockHttp } from "../mock/http.js";
import { SCENES } from "../mock/scenes.js";
import type { Broker } from "../mock/broker.js";

/** The directory of the built page. */
export const DIST = fileURLToPath(new URL("../dist", import.meta.url));

/** A running mock. */
export interface MockServer {
  readonly url: string;
  readonly http: MockHttp;
  readonly broker: Broker;
  close(): Promise<void>;
}

/** Starts a scene. Unless `simulate` is set, the fleet changes only by the test. */
export async function startMockServer(
  scene: string,
  { simulate = false, tickMs = 15_000 } = {},
): Promise<MockServer> {
  const make = SCENES[scene];
  if (!make) throw new Error(`no scene ${scene}; available: ${Object.keys(SCENES).join(", ")}`);
  const broker = make();
  const http = new MockHttp(broker, DIST);
  const stop = simulate ? simulateActivity(broker, { tickMs }) : () => undefined;
  const url = await http.listen();
  const close = async () => {
    stop();
    await http.close();
  };
  return { url, http, broker, close };
}
