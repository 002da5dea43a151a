// A command, ready to copy. Without a secure context there is no clipboard interface: then by way of a selection.
import { createSignal, onCleanup, type JSX } from "solid-js";

const SAID_MS = 1500;

/** A command with its button. */
export function Command(props: { readonly text: string; readonly label?: string }): JSX.Element {
  let code!: HTMLElement;
  const [said, setSaid] = createSignal("");
  let timer: ReturnType<typeof setTimeout> | undefined;
  onCleanup(() => clearTimeout(timer));

  const say = (word: string) => {
    setSaid(word);
    clearTimeout(timer);
    timer = setTimeout(() => setSaid(""), SAID_MS);
  };
  const copy = async () => say((await copied(props.text, code)) ? "copied" : "select and copy");

  return (
    <span class="command">
      <code ref={code}>{props.text}</code>
      <button
        type="button"
        class="small"
        aria-label={`Copy ${props.label ?? "command"}`}
        onClick={() => void copy()}
      >
        {said() || "copy"}
      </button>
    </span>
  );
}

async function copied(text: string, shown: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection()?.selectAllChildren(shown);
    // Deprecated, and the only way on a page that was not served over TLS.
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    return document.execCommand("copy");
  }
}
