// SPDX-License-Identifier: Apache-2.0
/** The boxes of one image while somebody works on them: what is selected, undo and redo. */

import type { Region } from "../api/types";
import { type Box, cutToImage, sameBox, type Size } from "./geometry";

/** A region with a name that lasts while the page is open. */
export type Item = { readonly key: number; readonly region: Region };

/** Steps of the same kind on the same box within this time are undone together, milliseconds. */
const ONE_STEP_MS = 700;
const MAX_STEPS = 500;

let lastKey = 0;

export class EditorModel {
  readonly size: Size;
  items: readonly Item[];
  /** Key of the selected box, or null. */
  selected: number | null = null;
  /** The kind that a new box gets. */
  kind: string;
  readonly isReadOnly: boolean;
  private past: (readonly Item[])[] = [];
  private future: (readonly Item[])[] = [];
  private lastStep = { name: "", at: -Infinity };
  private readonly listeners = new Set<() => void>();
  private readonly clock: () => number;

  constructor(
    regions: readonly Region[],
    size: Size,
    kind: string,
    isReadOnly = false,
    clock: () => number = () => performance.now(),
  ) {
    this.items = regions.map((region) => ({ key: ++lastKey, region }));
    this.size = size;
    this.kind = kind;
    this.isReadOnly = isReadOnly;
    this.clock = clock;
  }

  get regions(): Region[] {
    return this.items.map((item) => item.region);
  }

  get current(): Item | undefined {
    return this.items.find((item) => item.key === this.selected);
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  get canRedo(): boolean {
    return this.future.length > 0;
  }

  /** Call `listener` after each change; the result ends that. */
  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private tell(): void {
    for (const listener of [...this.listeners]) listener();
  }

  select(key: number | null): void {
    if (this.selected === key) return;
    this.selected = key;
    this.lastStep = { name: "", at: -Infinity };
    this.tell();
  }

  /** Select the next box (`step` 1) or the one before (-1); false past the last. */
  selectNeighbour(step: 1 | -1): boolean {
    const at = this.items.findIndex((item) => item.key === this.selected);
    const next = at === -1 ? (step === 1 ? 0 : this.items.length - 1) : at + step;
    const item = this.items[next];
    this.select(item ? item.key : null);
    return item !== undefined;
  }

  add(box: Box): void {
    if (this.isReadOnly) return;
    const item = {
      key: ++lastKey,
      region: { box_xyxy: [...cutToImage(box, this.size)], kind: this.kind, source: null },
    };
    this.step("add", [...this.items, item]);
    this.selected = item.key;
    this.tell();
  }

  removeSelected(): boolean {
    const at = this.items.findIndex((item) => item.key === this.selected);
    if (at === -1 || this.isReadOnly) return false;
    const rest = this.items.filter((_, index) => index !== at);
    this.step("remove", rest);
    this.selected = null;
    this.tell();
    return true;
  }

  /** Give the selected box new corners; steps of one `name` in quick succession are one. */
  change(box: Box, name: string): void {
    const item = this.current;
    if (!item || this.isReadOnly) return;
    const inside = cutToImage(box, this.size);
    if (sameBox(inside, item.region.box_xyxy as unknown as Box)) return;
    this.replace(item, { ...item.region, box_xyxy: [...inside] }, `${name} ${item.key}`);
  }

  /** Give the selected box a kind, and all boxes that are drawn from now on. */
  setKind(kind: string): void {
    this.kind = kind;
    const item = this.current;
    if (item && !this.isReadOnly && item.region.kind !== kind) {
      this.replace(item, { ...item.region, kind }, "");
    } else {
      this.tell();
    }
  }

  private replace(item: Item, region: Region, name: string): void {
    const changed = { key: item.key, region };
    this.step(
      name,
      this.items.map((each) => (each === item ? changed : each)),
    );
    this.tell();
  }

  private step(name: string, items: readonly Item[]): void {
    const now = this.clock();
    const isSame = name !== "" && name === this.lastStep.name;
    if (!(isSame && now - this.lastStep.at < ONE_STEP_MS)) {
      this.past.push(this.items);
      if (this.past.length > MAX_STEPS) this.past.shift();
    }
    this.lastStep = { name: name === "add" || name === "remove" ? "" : name, at: now };
    this.future = [];
    this.items = items;
  }

  undo(): boolean {
    return this.travel(this.past, this.future);
  }

  redo(): boolean {
    return this.travel(this.future, this.past);
  }

  private travel(from: (readonly Item[])[], to: (readonly Item[])[]): boolean {
    const items = from.pop();
    if (!items) return false;
    to.push(this.items);
    const before = new Map(this.items.map((item) => [item.key, item]));
    this.items = items;
    this.lastStep = { name: "", at: -Infinity };
    // What came back or changed is what the person looks for.
    const changed = items.find((item) => before.get(item.key) !== item);
    this.selected = changed ? changed.key : null;
    this.tell();
    return true;
  }
}
