// The objects that an opened frontend references: its Backends and their HealthChecks.
import { For, Show, type JSX } from "solid-js";
import { byName } from "../lib/row-order";
import { plural } from "../lib/format";
import type { Named, ObjectInfo } from "../sync/contract";
import { ObjectBlock } from "./object-block";

/** The objects except one. */
export function ReferencedObjects(props: {
  readonly objects: Named<ObjectInfo>;
  readonly except: string;
}): JSX.Element {
  const keys = () =>
    Object.keys(props.objects)
      .filter((key) => key !== props.except)
      .sort(byName);
  return (
    <Show when={keys().length > 0}>
      <details class="others">
        <summary>
          Refers to <span class="dim">{plural(keys().length, "object")}</span>
        </summary>
        <For each={keys()}>
          {(key) => (
            <Show when={props.objects[key]}>
              {(info) => (
                <details class="other">
                  <summary>
                    {info().kind} <span class="mono">{info().name}</span>
                    <span class="dim"> generation {info().generation}</span>
                  </summary>
                  <ObjectBlock kind={info().kind} name={info().name} info={info()} problems={[]} />
                </details>
              )}
            </Show>
          )}
        </For>
      </details>
    </Show>
  );
}
