// A command with a button to copy it. Without a secure context there is no clipboard API, so the text is selected and
// copied.
import { createSignal, onCleanup, type JSX } from "solid-js";

const FEEDBACK_MS = 1500;

export function Command(props: { readonly text: string; readonly label?: string }): JSX.Element {
  let code!: HTMLElement;
  const [feedback, setFeedback] = createSignal("");
  let timer: ReturnType<typeof setTimeout> | undefined;
  onCleanup(() => clearTimeout(timer));

  const showFeedback = (text: string) => {
    setFeedback(text);
    clearTimeout(timer);
    timer = setTimeout(() => setFeedback(""), FEEDBACK_MS);
  };
  const copy = async () => showFeedback((await copyText(props.text, code)) ? "copied" : "select and copy");

  return (
    <span class="command">
      <code ref={code}>{props.text}</code>
      <button
        type="button"
        class="small"
        aria-label={`Copy ${props.label ?? "command"}`}
        onClick={() => void copy()}
      >
        {feedback() || "copy"}
      </button>
    </span>
  );
}

async function copyText(text: string, codeElement: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection()?.selectAllChildren(codeElement);
    // Deprecated, and the only way on a page that was not served over TLS.
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    return document.execCommand("copy");
  }
}
