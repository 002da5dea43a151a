// A mock server for one test, with its fleet at hand.
import { fileURLToPath } from "node:url";
import { Mock } from "../mock/http.js";
import { live } from "../mock/activity.js";
import { SCENES } from "../mock/scenes.js";
import type { Broker } from "../mock/broker.js";

/** Where the built page is. */
export const DIST = fileURLToPath(new URL("../dist", import.meta.url));

/** A running mock. */
export interface MockServer {
  readonly url: string;
  readonly mock: Mock;
  readonly broker: Broker;
  close(): Promise<void>;
}

/** Starts a scene. Without `alive` nothing happens but what the test does. */
export async function startMockServer(
  scene: string,
  { simulate = false, tickMs = 15_000 } = {},
): Promise<MockServer> {
  const make = SCENES[scene];
  if (!make) throw new Error(`no scene ${scene}`);
  const broker = make();
  const mock = new Mock(broker, DIST);
  const stop = simulate ? live(broker, { tickMs }) : () => undefined;
  const url = await mock.listen();
  const close = async () => {
    stop();
    await mock.close();
  };
  return { url, mock, broker, close };
}
