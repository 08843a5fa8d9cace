// SPDX-License-Identifier: Apache-2.0
/** Where the image lies on the screen: screen = image * scale + offset. All functions are pure. */

import { type Box, heightOf, type Point, type Size, widthOf } from "./geometry";

export type Viewport = { readonly scale: number; readonly x: number; readonly y: number };

/** One pixel of the image never covers more than this on the screen. */
const MAX_SCALE = 32;
/** So much of the image stays in sight however it is pushed, in pixels of the screen. */
const KEEP_IN_SIGHT = 48;

/** Show the whole image, centred, with a margin; a tiny image is enlarged at most eight times. */
export function fit(image: Size, screen: Size, margin = 12): Viewport {
  const room = { width: screen.width - 2 * margin, height: screen.height - 2 * margin };
  const scale = Math.max(0.001, Math.min(room.width / image.width, room.height / image.height, 8));
  return centred(image, screen, scale, { x: image.width / 2, y: image.height / 2 });
}

function centred(image: Size, screen: Size, scale: number, on: Point): Viewport {
  const x = screen.width / 2 - on.x * scale;
  const y = screen.height / 2 - on.y * scale;
  return held({ scale, x, y }, image, screen);
}

/** Keep part of the image in sight. */
function held(view: Viewport, image: Size, screen: Size): Viewport {
  const hold = (offset: number, length: number, room: number): number =>
    Math.min(Math.max(offset, KEEP_IN_SIGHT - length * view.scale), room - KEEP_IN_SIGHT);
  return {
    scale: view.scale,
    x: hold(view.x, image.width, screen.width),
    y: hold(view.y, image.height, screen.height),
  };
}

export function toImage(view: Viewport, at: Point): Point {
  return { x: (at.x - view.x) / view.scale, y: (at.y - view.y) / view.scale };
}

export function toScreen(view: Viewport, box: Box): Box {
  return [
    box[0] * view.scale + view.x,
    box[1] * view.scale + view.y,
    box[2] * view.scale + view.x,
    box[3] * view.scale + view.y,
  ];
}

/** Zoom so that the point of the image under `at` stays under it. */
export function zoomAt(
  view: Viewport,
  factor: number,
  at: Point,
  image: Size,
  screen: Size,
): Viewport {
  const least = Math.min(fit(image, screen).scale, 1) / 2;
  const scale = Math.min(Math.max(view.scale * factor, least), MAX_SCALE);
  const under = toImage(view, at);
  return held({ scale, x: at.x - under.x * scale, y: at.y - under.y * scale }, image, screen);
}

export function panBy(view: Viewport, dx: number, dy: number, image: Size, screen: Size): Viewport {
  return held({ scale: view.scale, x: view.x + dx, y: view.y + dy }, image, screen);
}

/** Show a box with room around it: it fills about a third of the screen. */
export function zoomToBox(box: Box, image: Size, screen: Size): Viewport {
  const side = Math.max(widthOf(box) / screen.width, heightOf(box) / screen.height);
  const scale = Math.min(1 / (3 * side), MAX_SCALE);
  return centred(image, screen, scale, { x: (box[0] + box[2]) / 2, y: (box[1] + box[3]) / 2 });
}

/** Push the image as little as possible so that a box is in sight. */
export function reveal(view: Viewport, box: Box, image: Size, screen: Size): Viewport {
  const on = toScreen(view, box);
  const push = (low: number, high: number, room: number): number => {
    const margin = Math.min(24, room / 8);
    if (low < margin) return margin - low;
    if (high > room - margin) return Math.max(room - margin - high, margin - low);
    return 0;
  };
  const dx = push(on[0], on[2], screen.width);
  const dy = push(on[1], on[3], screen.height);
  return dx === 0 && dy === 0 ? view : panBy(view, dx, dy, image, screen);
}
