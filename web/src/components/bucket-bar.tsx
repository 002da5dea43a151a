// A bar of a VIP's buckets by backend, each in its own colour.
import { createMemo, For, Show, type JSX } from "solid-js";
import { backendHue } from "../lib/backend-color";
import { bucketShares } from "../lib/bucket-shares";
import type { FrontendDetail } from "../sync/contract";

const WIDTH = 1000;

export function BucketBar(props: { readonly frontend: FrontendDetail }): JSX.Element {
  const shares = createMemo(() => bucketShares(props.frontend));
  const percent = (part: number) => `${(part * 100).toFixed(part < 0.1 ? 1 : 0)} %`;
  const labels = () => shares().map(({ backend, fraction }) => `${backend} ${percent(fraction)}`);
  return (
    <Show when={shares().length > 0} fallback={<div class="bar empty" title="No backend has buckets" />}>
      <svg
        class="bar"
        viewBox={`0 0 ${WIDTH} 10`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Buckets: ${labels().join(", ")}`}
      >
        <For each={shares()}>
          {({ backend, buckets, fraction, start }) => (
            <rect
              class={`fill-hue-${backendHue(backend)}`}
              x={start * WIDTH}
              width={Math.max(0, fraction * WIDTH - 2)}
              y="0"
              height="10"
            >
              <title>{`${backend}: ${buckets} buckets, ${percent(fraction)}`}</title>
            </rect>
          )}
        </For>
      </svg>
    </Show>
  );
}
