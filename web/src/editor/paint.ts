// SPDX-License-Identifier: Apache-2.0
/** How boxes look. Colours come from the style sheet, so that dark and light are one place. */

import type { Context } from "konva/lib/Context";

import { type Box, heightOf, widthOf } from "./geometry";

/** A box that cannot be edited: the truth of a gold image, or what somebody else drew. */
export type Overlay = {
  readonly box: Box;
  /** Name of the colour in the style sheet, such as `--kind-1`. */
  readonly color: string;
  readonly dash: readonly number[];
  readonly isCrossed?: boolean;
  readonly label?: string;
  readonly width?: number;
  /** How far outside of its box it is drawn, in pixels of the screen: then others stay visible. */
  readonly outset?: number;
};

/** What is needed to draw one box, in pixels of the screen. */
export type Mark = { readonly box: Box; readonly color: string; readonly tag: string };

const HALO = "rgba(0, 0, 0, 0.75)";

export function colorOf(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim() || "#fff";
}

/** Boxes beyond these many kinds share the last colour; their tags differ. */
export function kindColor(index: number): string {
  return `--kind-${Math.min(Math.max(index, 0), 5) + 1}`;
}

/**
 * Draw many boxes: one path for each colour, each stroked dark and then bright, so that
 * 1,000 boxes are a handful of strokes and are seen on any picture.
 */
export function paintMarks(context: Context, marks: readonly Mark[]): void {
  const byColor = new Map<string, Mark[]>();
  for (const mark of marks) {
    const group = byColor.get(mark.color);
    if (group) group.push(mark);
    else byColor.set(mark.color, [mark]);
  }
  for (const [color, group] of byColor) {
    context.beginPath();
    for (const { box } of group) context.rect(box[0], box[1], widthOf(box), heightOf(box));
    strokeTwice(context, color, 2.5);
  }
  for (const mark of marks) {
    if (mark.tag && widthOf(mark.box) > 18) paintTag(context, mark.box, mark.tag, mark.color);
  }
}

function strokeTwice(context: Context, color: string, width: number): void {
  const pencil = context._context;
  pencil.lineJoin = "miter";
  pencil.strokeStyle = HALO;
  pencil.lineWidth = width + 2;
  pencil.stroke();
  pencil.strokeStyle = color;
  pencil.lineWidth = width;
  pencil.stroke();
}

/** Write a few letters above the upper left corner of a box, or inside where it touches the top. */
function paintTag(context: Context, box: Box, text: string, color: string): void {
  const pencil = context._context;
  pencil.font = "600 12px system-ui, sans-serif";
  const width = pencil.measureText(text).width + 10;
  const top = box[1] >= 19 ? box[1] - 18 : box[1] + 1;
  pencil.fillStyle = "rgba(15, 18, 24, 0.88)";
  pencil.fillRect(box[0] - 1, top, width, 17);
  pencil.fillStyle = color;
  pencil.fillRect(box[0] - 1, top, 3, 17);
  pencil.fillStyle = "#fff";
  pencil.textBaseline = "middle";
  pencil.fillText(text, box[0] + 6, top + 9);
}

export function paintOverlay(context: Context, place: Box, overlay: Overlay): void {
  const by = overlay.outset ?? 0;
  const box: Box = [place[0] - by, place[1] - by, place[2] + by, place[3] + by];
  const pencil = context._context;
  pencil.save();
  pencil.setLineDash([...overlay.dash]);
  context.beginPath();
  context.rect(box[0], box[1], widthOf(box), heightOf(box));
  strokeTwice(context, colorOf(overlay.color), overlay.width ?? 2);
  pencil.setLineDash([]);
  if (overlay.isCrossed) {
    context.beginPath();
    context.moveTo(box[0], box[1]);
    context.lineTo(box[2], box[3]);
    context.moveTo(box[2], box[1]);
    context.lineTo(box[0], box[3]);
    strokeTwice(context, colorOf(overlay.color), overlay.width ?? 2);
  }
  pencil.restore();
  if (overlay.label) paintTag(context, box, overlay.label, colorOf(overlay.color));
}
