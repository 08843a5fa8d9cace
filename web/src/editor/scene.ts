// SPDX-License-Identifier: Apache-2.0
/**
 * The picture with its boxes as a Konva scene of three layers: picture; boxes that only lie
 * there; the selected box with its handles. Only the last takes part in Konva's hit tests:
 * which box lies under the pointer is plain geometry, and so stays quick with 1,000 of them.
 */

import Konva from "konva/lib/Core";
import { Image as PictureNode } from "konva/lib/shapes/Image";
import { Rect } from "konva/lib/shapes/Rect";
import { Transformer } from "konva/lib/shapes/Transformer";

import type { Region } from "../api/types";
import { type Box, heightOf, type Point, type Size, widthOf } from "./geometry";
import type { EditorModel } from "./model";
import { colorOf, kindColor, type Mark, type Overlay, paintMarks, paintOverlay } from "./paint";
import {
  fit,
  panBy,
  reveal,
  toImage,
  toScreen,
  type Viewport,
  zoomAt,
  zoomToBox,
} from "./viewport";

const HANDLE_PX = 12;
/** Handles answer to pointers within this many pixels: larger for fingers. */
const reach = (): number => (matchMedia("(pointer: coarse)").matches ? 20 : 13);

/** Below this size on the screen a box has handles only at its corners, and outside of it. */
const SMALL_PX = 60;

export type Picture = ImageBitmap | HTMLImageElement;

export class Scene {
  readonly stage: Konva.Stage;
  view: Viewport = { scale: 1, x: 0, y: 0 };
  /** Boxes are hidden while somebody looks at what lies beneath. */
  isHidden = false;
  overlays: readonly Overlay[] = [];
  /** A few letters to be written at a box. */
  notes: ReadonlyMap<Region, string> = new Map();
  private readonly pictureLayer = new Konva.Layer({ listening: false });
  private readonly boxLayer = new Konva.Layer({ listening: false });
  private readonly toolLayer = new Konva.Layer();
  private readonly picture = new PictureNode({ image: undefined, perfectDrawEnabled: false });
  private readonly selected = new Rect({ visible: false, listening: false });
  private readonly draft = new Rect({ visible: false, listening: false });
  private readonly handles: Transformer;
  private hasOwnView = false;

  constructor(
    container: HTMLDivElement,
    private readonly model: EditorModel,
    private readonly kinds: readonly string[],
    onResized: (box: Box) => void,
  ) {
    this.stage = new Konva.Stage({ container, width: 10, height: 10 });
    this.pictureLayer.add(this.picture);
    this.boxLayer.add(new Konva.Shape({ sceneFunc: (context) => this.paint(context) }));
    this.handles = this.makeHandles();
    this.toolLayer.add(this.selected, this.draft, this.handles);
    this.stage.add(this.pictureLayer, this.boxLayer, this.toolLayer);
    // Konva's handles scale the node; the box is what it covers on the screen.
    this.selected.on("transformend", () => {
      const node = this.selected;
      const [x, y] = [node.x(), node.y()];
      const a = toImage(this.view, { x, y });
      const b = toImage(this.view, {
        x: x + node.width() * node.scaleX(),
        y: y + node.height() * node.scaleY(),
      });
      onResized([a.x, a.y, b.x, b.y]);
      this.showSelected();
    });
  }

  private makeHandles(): Transformer {
    return new Transformer({
      nodes: [this.selected],
      rotateEnabled: false,
      keepRatio: false,
      shiftBehavior: "none",
      ignoreStroke: true,
      borderEnabled: false,
      anchorSize: HANDLE_PX,
      anchorCornerRadius: 3,
      anchorFill: "#fff",
      anchorStroke: "#10131a",
      anchorStrokeWidth: 1.5,
      anchorStyleFunc: (anchor: Rect) => anchor.hitStrokeWidth(reach()),
      visible: false,
    });
  }

  get size(): Size {
    return this.model.size;
  }

  get screen(): Size {
    return { width: this.stage.width(), height: this.stage.height() };
  }

  /** Whether a handle lies under the pointer; Konva then resizes by itself. */
  isOnHandle(at: Point): boolean {
    return this.handles.visible() && this.toolLayer.getIntersection(at) !== null;
  }

  stopResizing(): void {
    if (this.handles.isTransforming()) this.handles.stopTransform();
  }

  setPicture(picture: Picture): void {
    this.picture.image(picture);
    this.picture.size(this.size);
    this.showView();
  }

  /** Take the room that the page gives; the whole image stays in sight unless somebody zoomed. */
  setScreen(width: number, height: number): void {
    if (width < 2 || height < 2) return;
    this.stage.size({ width, height });
    if (!this.hasOwnView) this.view = fit(this.size, this.screen);
    this.showView();
  }

  zoomBy(factor: number, at: Point = this.centre): void {
    this.setView(zoomAt(this.view, factor, at, this.size, this.screen));
  }

  panBy(dx: number, dy: number): void {
    this.setView(panBy(this.view, dx, dy, this.size, this.screen));
  }

  zoomTo(box: Box): void {
    this.setView(zoomToBox(box, this.size, this.screen));
  }

  showAll(): void {
    this.setView(fit(this.size, this.screen));
    this.hasOwnView = false;
  }

  reveal(box: Box): void {
    const view = reveal(this.view, box, this.size, this.screen);
    if (view !== this.view) this.setView(view);
  }

  private get centre(): Point {
    return { x: this.screen.width / 2, y: this.screen.height / 2 };
  }

  private setView(view: Viewport): void {
    this.view = view;
    this.hasOwnView = true;
    this.showView();
  }

  private showView(): void {
    const { scale, x, y } = this.view;
    this.picture.position({ x, y });
    this.picture.scale({ x: scale, y: scale });
    // Enlarged pixels stay squares: people judge small faces, and smoothing invents detail.
    this.pictureLayer.imageSmoothingEnabled(scale < 6);
    this.pictureLayer.batchDraw();
    this.showBoxes();
  }

  /** Draw the boxes anew, after the model or the view changed. */
  showBoxes(): void {
    this.boxLayer.batchDraw();
    this.showSelected();
  }

  private colorFor(kind: string): string {
    return colorOf(kindColor(this.kinds.indexOf(kind)));
  }

  /** Show the selected box, at `box` while it is moved. */
  showSelected(box?: Box): void {
    const item = this.isHidden ? undefined : this.model.current;
    this.selected.visible(item !== undefined);
    this.handles.visible(item !== undefined && !this.model.isReadOnly);
    if (item) {
      const on = toScreen(this.view, box ?? (item.region.box_xyxy as unknown as Box));
      const color = this.colorFor(item.region.kind);
      this.selected.setAttrs(rectAttrs(on, color, [], 3));
      const isSmall = Math.min(widthOf(on), heightOf(on)) < SMALL_PX;
      const corners = ["top-left", "top-right", "bottom-left", "bottom-right"];
      const sides = ["top-center", "bottom-center", "middle-left", "middle-right"];
      this.handles.padding(isSmall ? 9 : 0);
      this.handles.enabledAnchors(isSmall ? corners : [...corners, ...sides]);
      this.handles.forceUpdate();
    }
    this.toolLayer.batchDraw();
  }

  /** Show a box that is being drawn, or none. */
  showDraft(box: Box | null): void {
    this.draft.visible(box !== null);
    if (box) {
      const color = this.colorFor(this.model.kind);
      this.draft.setAttrs(rectAttrs(toScreen(this.view, box), color, [6, 4], 2));
    }
    this.toolLayer.batchDraw();
  }

  private paint(context: Konva.Context): void {
    if (this.isHidden) return;
    const { width, height } = this.screen;
    const colors = new Map(this.kinds.map((kind) => [kind, this.colorFor(kind)]));
    const marks: Mark[] = [];
    for (const item of this.model.items) {
      if (item.key === this.model.selected) continue;
      const box = toScreen(this.view, item.region.box_xyxy as unknown as Box);
      if (box[2] < 0 || box[3] < 0 || box[0] > width || box[1] > height) continue;
      const kind = item.region.kind;
      const note = this.notes.get(item.region) ?? "";
      const tag = note || (kind === this.kinds[0] ? "" : kind);
      marks.push({ box, color: colors.get(kind) ?? "#fff", tag });
    }
    for (const overlay of this.overlays) {
      paintOverlay(context, toScreen(this.view, overlay.box), overlay);
    }
    paintMarks(context, marks);
  }

  destroy(): void {
    this.stage.destroy();
  }
}

function rectAttrs(box: Box, color: string, dash: number[], width: number): object {
  return {
    x: box[0],
    y: box[1],
    width: widthOf(box),
    height: heightOf(box),
    scaleX: 1,
    scaleY: 1,
    stroke: color,
    strokeWidth: width,
    dash,
    shadowColor: "#000",
    shadowBlur: 3,
    shadowOpacity: 0.9,
    shadowForStrokeEnabled: true,
    strokeScaleEnabled: false,
  };
}
