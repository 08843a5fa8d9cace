// SPDX-License-Identifier: Apache-2.0
/** What mouse, pen and fingers do to the scene. */

import { type Box, boxAt, boxBetween, heightOf, moveBox, type Point, widthOf } from "./geometry";
import type { Tool } from "./keys";
import type { EditorModel } from "./model";
import type { Scene } from "./scene";
import { toImage, toScreen } from "./viewport";

/** A press that moved less than this is a click, in pixels of the screen. */
const CLICK_PX = 4;
/** A drawn box must be this large on the screen: less was a slip of the hand. */
const SLIP_PX = 5;

type Gesture =
  | { kind: "none" }
  | { kind: "pan"; last: Point }
  | { kind: "press"; from: Point; hit: number; touch: boolean }
  | { kind: "draw"; from: Point }
  | { kind: "move"; from: Point; box: Box; now: Box }
  | { kind: "pinch"; middle: Point; spread: number };

export class Pointer {
  tool: Tool = "edit";
  /** While the space bar is down every drag moves the picture. */
  isSpaceDown = false;
  private gesture: Gesture = { kind: "none" };
  private readonly down = new Map<number, Point>();
  private readonly ends: (() => void)[] = [];

  constructor(
    private readonly surface: HTMLElement,
    private readonly scene: Scene,
    private readonly model: EditorModel,
  ) {
    const on = <K extends keyof HTMLElementEventMap>(
      name: K,
      act: (event: HTMLElementEventMap[K]) => void,
    ): void => {
      surface.addEventListener(name, act, { passive: false });
      this.ends.push(() => surface.removeEventListener(name, act));
    };
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => this.drag(event));
    on("pointerup", (event) => this.release(event, true));
    on("pointercancel", (event) => this.release(event, false));
    on("wheel", (event) => this.wheel(event));
    on("contextmenu", (event) => event.preventDefault());
    on("auxclick", (event) => event.preventDefault());
  }

  end(): void {
    for (const end of this.ends) end();
  }

  get isBusy(): boolean {
    return this.gesture.kind === "draw" || this.gesture.kind === "move";
  }

  /** Break off what is being drawn or moved; false if nothing was. */
  breakOff(): boolean {
    const wasBusy = this.isBusy;
    this.gesture = { kind: "none" };
    this.scene.showDraft(null);
    this.scene.showSelected();
    return wasBusy;
  }

  private at(event: MouseEvent): Point {
    const frame = this.surface.getBoundingClientRect();
    return { x: event.clientX - frame.left, y: event.clientY - frame.top };
  }

  private press(event: PointerEvent): void {
    const at = this.at(event);
    this.surface.focus({ preventScroll: true });
    this.down.set(event.pointerId, at);
    if (this.down.size === 2) {
      this.breakOff();
      this.scene.stopResizing();
      this.gesture = { kind: "pinch", ...this.twoFingers() };
      return;
    }
    if (this.down.size > 2) return;
    const pans = this.tool === "hand" || this.isSpaceDown || event.button > 0;
    if (!pans && this.scene.isOnHandle(at)) return;
    event.preventDefault();
    try {
      this.surface.setPointerCapture(event.pointerId);
    } catch {
      // The pointer may be gone already; the drag then ends at the border of the picture.
    }
    if (pans) {
      this.gesture = { kind: "pan", last: at };
      return;
    }
    const touch = event.pointerType === "touch";
    const draws = this.tool === "draw" || event.shiftKey;
    this.gesture = { kind: "press", from: at, hit: draws ? -1 : this.boxUnder(at, touch), touch };
  }

  private boxUnder(at: Point, touch: boolean): number {
    if (this.scene.isHidden) return -1;
    const point = toImage(this.scene.view, at);
    const slack = (touch ? 14 : 4) / this.scene.view.scale;
    const current = this.model.current;
    const boxes = this.model.items.map((item) => item.region.box_xyxy as unknown as Box);
    // The selected box keeps the pointer, so that it can be dragged from under smaller ones.
    if (current && boxAt([current.region.box_xyxy as unknown as Box], point) === 0) {
      return this.model.items.indexOf(current);
    }
    return boxAt(boxes, point, slack);
  }

  private twoFingers(): { middle: Point; spread: number } {
    const [a, b] = [...this.down.values()];
    if (!a || !b) return { middle: { x: 0, y: 0 }, spread: 1 };
    const middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    return { middle, spread: Math.max(1, Math.hypot(a.x - b.x, a.y - b.y)) };
  }

  private drag(event: PointerEvent): void {
    if (!this.down.has(event.pointerId)) return;
    const at = this.at(event);
    this.down.set(event.pointerId, at);
    const gesture = this.gesture;
    if (gesture.kind === "pinch") this.pinch(gesture);
    if (gesture.kind === "pan") {
      this.scene.panBy(at.x - gesture.last.x, at.y - gesture.last.y);
      gesture.last = at;
    }
    if (gesture.kind === "press") this.begin(gesture, at);
    if (gesture.kind === "draw") this.scene.showDraft(this.between(gesture.from, at));
    if (gesture.kind === "move") {
      const { scale } = this.scene.view;
      const [dx, dy] = [(at.x - gesture.from.x) / scale, (at.y - gesture.from.y) / scale];
      gesture.now = moveBox(gesture.box, dx, dy, this.model.size);
      this.scene.showSelected(gesture.now);
    }
  }

  /** Tell a drag from a click, and say what it does. */
  private begin(gesture: Gesture & { kind: "press" }, at: Point): void {
    const { from } = gesture;
    if (Math.hypot(at.x - from.x, at.y - from.y) < CLICK_PX) return;
    const item = this.model.items[gesture.hit];
    if (this.model.isReadOnly) {
      this.gesture = { kind: "pan", last: at };
    } else if (item) {
      const box = item.region.box_xyxy as unknown as Box;
      this.model.select(item.key);
      this.gesture = { kind: "move", from, box, now: box };
    } else {
      this.model.select(null);
      this.gesture = { kind: "draw", from };
      this.scene.showDraft(this.between(from, at));
    }
  }

  private between(a: Point, b: Point): Box {
    const view = this.scene.view;
    return boxBetween(toImage(view, a), toImage(view, b), this.model.size);
  }

  private pinch(gesture: Gesture & { kind: "pinch" }): void {
    const now = this.twoFingers();
    this.scene.panBy(now.middle.x - gesture.middle.x, now.middle.y - gesture.middle.y);
    this.scene.zoomBy(now.spread / gesture.spread, now.middle);
    this.gesture = { kind: "pinch", ...now };
  }

  private release(event: PointerEvent, isWanted: boolean): void {
    if (!this.down.delete(event.pointerId)) return;
    const gesture = this.gesture;
    if (gesture.kind === "pinch" && this.down.size === 1) {
      const [last] = this.down.values();
      if (last) this.gesture = { kind: "pan", last };
      return;
    }
    if (this.down.size > 0) return;
    this.gesture = { kind: "none" };
    this.scene.showDraft(null);
    if (!isWanted) this.scene.showSelected();
    else this.finish(gesture, this.at(event));
  }

  private finish(gesture: Gesture, at: Point): void {
    if (gesture.kind === "press") {
      this.model.select(this.model.items[gesture.hit]?.key ?? null);
    } else if (gesture.kind === "move") {
      this.model.change(gesture.now, "");
    } else if (gesture.kind === "draw") {
      const box = this.between(gesture.from, at);
      const on = toScreen(this.scene.view, box);
      if (Math.min(widthOf(on), heightOf(on)) >= SLIP_PX) this.model.add(box);
    }
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    // Trackpads send pinches as wheel with Ctrl, in finer steps.
    const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
    const factor = Math.exp(
      -Math.max(-240, Math.min(240, pixels)) * (event.ctrlKey ? 0.01 : 0.002),
    );
    this.scene.zoomBy(factor, this.at(event));
  }
}
