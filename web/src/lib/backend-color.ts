// One colour per backend, the same in every view, on every node and after every reload: it follows from the name
// alone. Numbered names get neighbouring colours, so web-1 and web-2 differ.

/** How many `--hue-N` the tokens have. */
export const HUES = 10;

/** The index of the backend's `--hue-N`. */
export function backendHue(backend: string): number {
  const numbered = /^(.*?)(\d{1,6})$/.exec(backend);
  const stem = numbered?.[1] ?? backend;
  return (hash(stem) + Number(numbered?.[2] ?? 0)) % HUES;
}

/** FNV-1a. */
function hash(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193) >>> 0;
  }
  return hash;
}
