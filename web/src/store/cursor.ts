// Keyboard navigation in the list on screen.

/** A list with keyboard navigation. */
export interface NavigableList {
  names(): readonly string[];
  /** Scrolls to a row and focuses it. */
  reveal(name: string): void;
}

let activeList: NavigableList | undefined;

/** Sets the list on screen; `undefined` when it is removed. */
export function setCursor(next: NavigableList | undefined): void {
  activeList = next;
}

/** Moves the focus by `by` rows; from outside of the list, to its first row. */
export function moveFocus(by: number): void {
  if (!activeList) return;
  const rowNames = activeList.names();
  const at = document.activeElement?.closest<HTMLElement>("[data-name]")?.dataset["name"];
  const index = at === undefined ? -1 : rowNames.indexOf(at);
  const next = index < 0 ? 0 : Math.max(0, Math.min(rowNames.length - 1, index + by));
  const name = rowNames[next];
  if (name !== undefined) activeList.reveal(name);
}

/** Scrolls to a row and focuses it. */
export function revealRow(name: string): void {
  activeList?.reveal(name);
}
