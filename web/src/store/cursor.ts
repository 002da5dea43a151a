// The list that j and k walk through: the one on screen says what is in it and how a row is brought into sight.

/** A list that can be walked. */
export interface NavigableList {
  names(): readonly string[];
  /** Scrolls to a row and focuses it. */
  reveal(name: string): void;
}

let activeList: NavigableList | undefined;

/** The list on screen; `undefined` when it goes. */
export function setCursor(next: NavigableList | undefined): void {
  activeList = next;
}

/** Moves the focus by so many rows; from outside of the list to its first one. */
export function moveFocus(by: number): void {
  if (!activeList) return;
  const rowNames = activeList.names();
  const at = document.activeElement?.closest<HTMLElement>("[data-name]")?.dataset["name"];
  const index = at === undefined ? -1 : rowNames.indexOf(at);
  const next = index < 0 ? 0 : Math.max(0, Math.min(rowNames.length - 1, index + by));
  const name = rowNames[next];
  if (name !== undefined) activeList.reveal(name);
}

/** Brings a row into sight. */
export function revealRow(name: string): void {
  activeList?.reveal(name);
}
