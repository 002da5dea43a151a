// A long list that renders only the rows near the screen. Closed rows have one height, which is measured; opened rows
// are measured individually. Works in any scrolling ancestor.
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
import { rowOffset, visibleWindow } from "../lib/list-window";
import { setCursor } from "../store/cursor";

const INITIAL_ROW_HEIGHT_PX = 28;
const MARGIN_PX = 250;
const MAX_ATTEMPTS = 5;

/** A row of the list. */
export interface RowPosition {
  readonly name: string;
  /** Index in the whole list. */
  readonly index: Accessor<number>;
}

/** The list. `children` renders one row, which must have the common height unless `isOpen`. */
export function VirtualList(props: {
  readonly names: readonly string[];
  readonly isOpen: (name: string) => boolean;
  readonly children: (row: RowPosition) => JSX.Element;
}): JSX.Element {
  let list!: HTMLDivElement;
  const [height, setHeight] = createSignal(INITIAL_ROW_HEIGHT_PX);
  const [heights, setHeights] = createSignal<ReadonlyMap<string, number>>(new Map());
  const [viewport, setViewport] = createSignal({ top: 0, bottom: innerHeight }, { equals: sameView });

  const indexes = createMemo(() => new Map(props.names.map((name, index) => [name, index])));
  const openRowHeights = createMemo(() => {
    const byIndex = new Map<number, number>();
    for (const [name, rowHeight] of heights()) {
      const index = indexes().get(name);
      if (index !== undefined && props.isOpen(name)) byIndex.set(index, rowHeight);
    }
    return byIndex;
  });
  const shown = createMemo(() =>
    visibleWindow(
      props.names.length,
      height(),
      openRowHeights(),
      viewport().top,
      viewport().bottom,
      MARGIN_PX,
    ),
  );
  const visible = createMemo(() => props.names.slice(shown().first, shown().end), [], { equals: sameNames });

  const updateViewport = () => {
    const { top } = list.getBoundingClientRect();
    // In steps, so that scrolling by a few pixels computes nothing.
    const step = (pixels: number) => Math.round(pixels / 100) * 100;
    setViewport({ top: Math.max(0, step(-top)), bottom: step(innerHeight - top) });
  };
  const resizeObserver = new ResizeObserver((entries) => measure(entries));
  const measure = (entries: readonly ResizeObserverEntry[]) => {
    const changed = new Map(untrack(heights));
    let anyChanged = false;
    for (const { target } of entries) {
      const element = target as HTMLElement;
      const name = element.dataset["name"] ?? "";
      const rowHeight = element.offsetHeight;
      if (rowHeight === 0) continue;
      if (!props.isOpen(name)) setHeight(rowHeight);
      else if (changed.get(name) !== rowHeight) {
        changed.set(name, rowHeight);
        anyChanged = true;
      }
    }
    if (anyChanged) setHeights(changed);
    updateViewport();
  };

  onMount(() => {
    updateViewport();
    document.addEventListener("scroll", updateViewport, { capture: true, passive: true });
    addEventListener("resize", updateViewport);
    onCleanup(() => {
      document.removeEventListener("scroll", updateViewport, { capture: true });
      removeEventListener("resize", updateViewport);
      resizeObserver.disconnect();
    });
  });
  createEffect(on(() => props.names, updateViewport));

  const findRow = (name: string) => list.querySelector<HTMLElement>(`[data-name="${CSS.escape(name)}"]`);
  // Scrolls near a row that is not rendered, by its estimated offset. Rows that open on the way can require more
  // attempts.
  const reveal = (name: string, attempts = MAX_ATTEMPTS) => {
    const index = indexes().get(name);
    if (index === undefined || !list.isConnected) return;
    if (!findRow(name)) scrollTo(list, rowOffset(index, height(), openRowHeights()));
    requestAnimationFrame(() => {
      updateViewport();
      const row = findRow(name);
      if (row) {
        row.querySelector<HTMLElement>("[data-focus]")?.focus({ preventScroll: true });
        // Its header, since an opened row can be higher than the screen.
        const head = row.querySelector(".table-row, .card-title") ?? row;
        head.scrollIntoView({ block: "nearest" });
      } else if (attempts > 1) reveal(name, attempts - 1);
    });
  };
  setCursor({ names: () => props.names, reveal });
  onCleanup(() => setCursor(undefined));

  return (
    <div ref={list} class="rows" role="rowgroup">
      <Spacer height={shown().above} />
      <For each={visible()}>
        {(name) => (
          <div
            class="rows-item"
            role="presentation"
            data-name={name}
            ref={(element) => observeSize(resizeObserver, element)}
          >
            {props.children({ name, index: () => indexes().get(name) ?? -1 })}
          </div>
        )}
      </For>
      <Spacer height={shown().below} />
    </div>
  );
}

function Spacer(props: { readonly height: number }): JSX.Element {
  const size = (gap: HTMLDivElement) =>
    createRenderEffect(() => gap.style.setProperty("height", `${props.height}px`));
  return <div ref={size} role="presentation" />;
}

function observeSize(sizes: ResizeObserver, element: HTMLElement): void {
  sizes.observe(element);
  onCleanup(() => sizes.unobserve(element));
}

function scrollTo(list: HTMLElement, offset: number): void {
  let container = list.parentElement;
  while (container && !/auto|scroll/.test(getComputedStyle(container).overflowY))
    container = container.parentElement;
  const scroller = container ?? document.documentElement;
  const top = list.getBoundingClientRect().top - (container?.getBoundingClientRect().top ?? 0);
  scroller.scrollTop += top + offset - scroller.clientHeight / 2;
}

function sameView(a: { top: number; bottom: number }, b: { top: number; bottom: number }): boolean {
  return a.top === b.top && a.bottom === b.bottom;
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index]);
}
