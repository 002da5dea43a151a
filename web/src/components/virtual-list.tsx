// A long list of which only the rows on screen are in the page. Closed rows are all of one height, which is measured;
// opened ones are measured one by one. The list lies in whatever scrolls around it.
import {
  createEffect,
  createMemo,
  createRenderEffect,
  createSignal,
  For,
  on,
  onCleanup,
  onMount,
  untrack,
  type Accessor,
  type JSX,
} from "solid-js";
import { offsetOf, windowOf } from "../lib/list-window";
import { setCursor } from "../store/cursor";

const GUESS_PX = 28;
const SPARE_PX = 250;
const MOST_TRIES = 5;

/** A row of the list. */
export interface RowPlace {
  readonly name: string;
  /** Its number in the whole list, from 0. */
  readonly index: Accessor<number>;
}

/** The list. `children` makes one row; its element must have a fixed height unless `isOpen`. */
export function Rows(props: {
  readonly names: readonly string[];
  readonly isOpen: (name: string) => boolean;
  readonly children: (row: RowPlace) => JSX.Element;
}): JSX.Element {
  let list!: HTMLDivElement;
  const [height, setHeight] = createSignal(GUESS_PX);
  const [heights, setHeights] = createSignal<ReadonlyMap<string, number>>(new Map());
  const [view, setView] = createSignal({ top: 0, bottom: innerHeight }, { equals: sameView });

  const indexes = createMemo(() => new Map(props.names.map((name, index) => [name, index])));
  const tall = createMemo(() => {
    const by = new Map<number, number>();
    for (const [name, high] of heights()) {
      const index = indexes().get(name);
      if (index !== undefined && props.isOpen(name)) by.set(index, high);
    }
    return by;
  });
  const shown = createMemo(() =>
    windowOf(props.names.length, height(), tall(), view().top, view().bottom, SPARE_PX),
  );
  const visible = createMemo(() => props.names.slice(shown().first, shown().end), [], { equals: sameNames });

  const look = () => {
    const { top } = list.getBoundingClientRect();
    // In steps, so that scrolling by a few pixels computes nothing.
    const step = (pixels: number) => Math.round(pixels / 100) * 100;
    setView({ top: Math.max(0, step(-top)), bottom: step(innerHeight - top) });
  };
  const sizes = new ResizeObserver((entries) => measure(entries));
  const measure = (entries: readonly ResizeObserverEntry[]) => {
    const changed = new Map(untrack(heights));
    let any = false;
    for (const { target } of entries) {
      const element = target as HTMLElement;
      const name = element.dataset["name"] ?? "";
      const high = element.offsetHeight;
      if (high === 0) continue;
      if (!props.isOpen(name)) setHeight(high);
      else if (changed.get(name) !== high) {
        changed.set(name, high);
        any = true;
      }
    }
    if (any) setHeights(changed);
    look();
  };

  onMount(() => {
    look();
    document.addEventListener("scroll", look, { capture: true, passive: true });
    addEventListener("resize", look);
    onCleanup(() => {
      document.removeEventListener("scroll", look, { capture: true });
      removeEventListener("resize", look);
      sizes.disconnect();
    });
  });
  createEffect(on(() => props.names, look));

  const find = (name: string) => list.querySelector<HTMLElement>(`[data-name="${CSS.escape(name)}"]`);
  // A row that is far away is scrolled to first, by where it should be; what is opened on the way may put that off.
  const reveal = (name: string, tries = MOST_TRIES) => {
    const index = indexes().get(name);
    if (index === undefined || !list.isConnected) return;
    if (!find(name)) scrollTo(list, offsetOf(index, height(), tall()));
    requestAnimationFrame(() => {
      look();
      const row = find(name);
      if (row) {
        row.querySelector<HTMLElement>("[data-focus]")?.focus({ preventScroll: true });
        // Its head: an opened row may be higher than the screen.
        const head = row.querySelector(".table-row, .card-title") ?? row;
        head.scrollIntoView({ block: "nearest" });
      } else if (tries > 1) reveal(name, tries - 1);
    });
  };
  setCursor({ names: () => props.names, reveal });
  onCleanup(() => setCursor(undefined));

  return (
    <div ref={list} class="rows" role="rowgroup">
      <Gap high={shown().above} />
      <For each={visible()}>
        {(name) => (
          <div
            class="rows-item"
            role="presentation"
            data-name={name}
            ref={(element) => watchSize(sizes, element)}
          >
            {props.children({ name, index: () => indexes().get(name) ?? -1 })}
          </div>
        )}
      </For>
      <Gap high={shown().below} />
    </div>
  );
}

function Gap(props: { readonly high: number }): JSX.Element {
  const size = (gap: HTMLDivElement) =>
    createRenderEffect(() => gap.style.setProperty("height", `${props.high}px`));
  return <div ref={size} role="presentation" />;
}

function watchSize(sizes: ResizeObserver, element: HTMLElement): void {
  sizes.observe(element);
  onCleanup(() => sizes.unobserve(element));
}

function scrollTo(list: HTMLElement, offset: number): void {
  let around = list.parentElement;
  while (around && !/auto|scroll/.test(getComputedStyle(around).overflowY)) around = around.parentElement;
  const scroller = around ?? document.documentElement;
  const top = list.getBoundingClientRect().top - (around?.getBoundingClientRect().top ?? 0);
  scroller.scrollTop += top + offset - scroller.clientHeight / 2;
}

function sameView(a: { top: number; bottom: number }, b: { top: number; bottom: number }): boolean {
  return a.top === b.top && a.bottom === b.bottom;
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index]);
}
