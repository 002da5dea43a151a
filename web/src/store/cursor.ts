// The list that j and k walk through: the one on screen says what is in it and how a row is brought into sight.

/** A list that can be walked. */
export interface Walk {
  names(): readonly string[];
  /** Scrolls to a row and focuses it. */
  reveal(name: string): void;
}

let walk: Walk | undefined;

/** The list on screen; `undefined` when it goes. */
export function setCursor(next: Walk | undefined): void {
  walk = next;
}

/** Moves the focus by so many rows; from outside of the list to its first one. */
export function move(by: number): void {
  if (!walk) return;
  const names = walk.names();
  const at = document.activeElement?.closest<HTMLElement>("[data-name]")?.dataset["name"];
  const index = at === undefined ? -1 : names.indexOf(at);
  const next = index < 0 ? 0 : Math.max(0, Math.min(names.length - 1, index + by));
  const name = names[next];
  if (name !== undefined) walk.reveal(name);
}

/** Brings a row into sight. */
export function reveal(name: string): void {
  walk?.reveal(name);
}
