// Keyboard shortcuts. Keys in a text field, or with a modifier, are ignored.

export interface KeyActions {
  filter(): void;
  move(by: number): void;
  /** Opens a tab by number, 0 = all nodes. */
  tab(index: number): void;
  pause(): void;
  help(): void;
}

/** Starts to listen. The result stops it. */
export function listenForKeys(keys: KeyActions): () => void {
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTextInput(event.target))
      return;
    const action = actionForKey(event.key, keys);
    if (!action) return;
    event.preventDefault();
    action();
  };
  addEventListener("keydown", onKeyDown);
  return () => removeEventListener("keydown", onKeyDown);
}

function actionForKey(key: string, keys: KeyActions): (() => void) | undefined {
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

function isTextInput(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("input, select, textarea, dialog") !== null;
}
