// Ports that report when the server refuses to be read. EventSource hides the status of a response, so a stream that the
// browser gave up on counts as refused, too.
import { HttpError, type Ports } from "./ports";

/** Calls `refused` whenever the server may require a sign-in. */
export function reportRefusals(ports: Ports, refused: () => void): Ports {
  return {
    open: (url, listener) =>
      ports.open(url, {
        message: (message, id) => listener.message(message, id),
        disconnected(closed) {
          listener.disconnected(closed);
          if (closed) refused();
        },
      }),
    async get(path) {
      try {
        return await ports.get(path);
      } catch (error) {
        if (error instanceof HttpError && (error.status === 401 || error.status === 403)) refused();
        throw error;
      }
    },
    after: (milliseconds, run) => ports.after(milliseconds, run),
    now: () => ports.now(),
  };
}
