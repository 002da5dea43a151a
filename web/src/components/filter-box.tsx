// The text field that filters rows.
import { createEffect, type JSX } from "solid-js";
import { route, setQuery } from "../store/location";

/** Element id, for the key `/`. */
export const FILTER_ID = "filter";

/** The field. `hint` names the searched values. */
export function FilterBox(props: { readonly hint: string }): JSX.Element {
  let input!: HTMLInputElement;
  // Navigation changes the query, too.
  createEffect(() => {
    if (input.value !== route().query) input.value = route().query;
  });
  return (
    <div class="filter">
      <input
        ref={input}
        id={FILTER_ID}
        type="search"
        autocomplete="off"
        spellcheck={false}
        aria-label={`Filter: ${props.hint}`}
        placeholder={`filter: ${props.hint}`}
        onInput={() => setQuery(input.value)}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          setQuery("");
          input.blur();
        }}
      />
      <kbd aria-hidden="true">/</kbd>
    </div>
  );
}
