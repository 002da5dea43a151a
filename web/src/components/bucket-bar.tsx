// How a VIP's buckets are shared out: a bar with every backend in its own colour.
import { createMemo, For, Show, type JSX } from "solid-js";
import { hue } from "../lib/backend-color";
import { shares } from "../lib/bucket-shares";
import type { FrontendDetail } from "../sync/contract";

const WIDTH = 1000;

/** The bar, or a line that says why there is none. */
export function BucketBar(props: { readonly frontend: FrontendDetail }): JSX.Element {
  const parts = createMemo(() => shares(props.frontend));
  const percent = (part: number) => `${(part * 100).toFixed(part < 0.1 ? 1 : 0)} %`;
  const words = () => parts().map(({ backend, part }) => `${backend} ${percent(part)}`);
  return (
    <Show when={parts().length > 0} fallback={<div class="bar empty" title="No backend has buckets" />}>
      <svg
        class="bar"
        viewBox={`0 0 ${WIDTH} 10`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Buckets: ${words().join(", ")}`}
      >
        <For each={parts()}>
          {({ backend, buckets, part, begins }) => (
            <rect
              class={`fill-hue-${hue(backend)}`}
              x={begins * WIDTH}
              width={Math.max(0, part * WIDTH - 2)}
              y="0"
              height="10"
            >
              <title>{`${backend}: ${buckets} buckets, ${percent(part)}`}</title>
            </rect>
          )}
        </For>
      </svg>
    </Show>
  );
}
