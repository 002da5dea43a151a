// The keyboard. Keys that are typed into a field, or with a modifier, are not ours.

/** What keys do. */
export interface Keys {
  filter(): void;
  move(by: number): void;
  /** The tab of this number, 0 = all nodes. */
  tab(index: number): void;
  pause(): void;
  help(): void;
}

/** Listens from now on; the result ends it. */
export function listen(keys: Keys): () => void {
  const pressed = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(event.target))
      return;
    const action = actionOf(event.key, keys);
    if (!action) return;
    event.preventDefault();
    action();
  };
  addEventListener("keydown", pressed);
  return () => removeEventListener("keydown", pressed);
}

function actionOf(key: string, keys: Keys): (() => void) | undefined {
  if (/^[1-9]$/.test(key)) return () => keys.tab(Number(key) - 1);
  switch (key) {
    case "/":
      return () => keys.filter();
    case "j":
      return () => keys.move(1);
    case "k":
      return () => keys.move(-1);
    case "p":
      return () => keys.pause();
    case "?":
      return () => keys.help();
    default:
      return undefined;
  }
}

function typing(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("input, select, textarea, dialog") !== null;
}
