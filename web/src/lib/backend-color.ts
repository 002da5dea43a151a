// The colour of a backend: the same in every view, on every node and after every reload, since it depends on the name
// only. Numbered names get adjacent colours, so web-1 and web-2 differ.

/** Number of `--hue-N` tokens. */
export const HUES = 10;

/** Index of the backend's `--hue-N` token. */
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
