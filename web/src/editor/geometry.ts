// SPDX-License-Identifier: Apache-2.0
/** Boxes as `[x0, y0, x1, y1]` in pixels of the full, upright image; all functions are pure. */

export type Box = readonly [number, number, number, number];
export type Size = { readonly width: number; readonly height: number };
export type Point = { readonly x: number; readonly y: number };

/** The smallest side a box may have, in pixels of the image. */
export const MIN_SIDE = 1;

const cut = (value: number, low: number, high: number): number =>
  Math.min(Math.max(value, low), high);

/** Two decimals are finer than any pointer, and keep the answer short. */
const round = (value: number): number => Math.round(value * 100) / 100;

export function widthOf(box: Box): number {
  return box[2] - box[0];
}

export function heightOf(box: Box): number {
  return box[3] - box[1];
}

export function areaOf(box: Box): number {
  return widthOf(box) * heightOf(box);
}

/** Give the box between two corners, in any order, cut to the image. */
export function boxBetween(a: Point, b: Point, image: Size): Box {
  return cutToImage([a.x, a.y, b.x, b.y], image);
}

/** Turn a box the right way round, cut it to the image, and keep it at least `MIN_SIDE` wide. */
export function cutToImage(box: Box, image: Size): Box {
  const [x0, x1] = cutSide(box[0], box[2], image.width);
  const [y0, y1] = cutSide(box[1], box[3], image.height);
  return [x0, y0, x1, y1];
}

function cutSide(a: number, b: number, length: number): [number, number] {
  const side = Math.min(MIN_SIDE, length);
  const low = round(cut(Math.min(a, b), 0, length - side));
  return [low, round(cut(Math.max(a, b), low + side, length))];
}

/** Move a box; it stops at the border of the image and keeps its size. */
export function moveBox(box: Box, dx: number, dy: number, image: Size): Box {
  const x0 = round(cut(box[0] + dx, 0, Math.max(0, image.width - widthOf(box))));
  const y0 = round(cut(box[1] + dy, 0, Math.max(0, image.height - heightOf(box))));
  return [x0, y0, round(x0 + widthOf(box)), round(y0 + heightOf(box))];
}

/** Move the right and the lower side of a box: how the keyboard makes it larger or smaller. */
export function growBox(box: Box, dx: number, dy: number, image: Size): Box {
  const x1 = Math.max(box[0] + MIN_SIDE, box[2] + dx);
  const y1 = Math.max(box[1] + MIN_SIDE, box[3] + dy);
  return cutToImage([box[0], box[1], x1, y1], image);
}

export function sameBox(a: Box, b: Box): boolean {
  return a.every((value, place) => value === b[place]);
}

/**
 * Find the box at a point: the smallest that holds it, so that a small face inside a large
 * box can be reached.
 *
 * @param slack How far outside a box still counts, in pixels of the image.
 * @returns Its index, or -1.
 */
export function boxAt(boxes: readonly Box[], point: Point, slack = 0): number {
  let found = -1;
  let smallest = Infinity;
  boxes.forEach((box, index) => {
    const outside = Math.max(
      box[0] - point.x,
      point.x - box[2],
      box[1] - point.y,
      point.y - box[3],
      0,
    );
    // A box that holds the point always wins over one that is only near it.
    const cost = outside > 0 ? 1e12 + outside : areaOf(box);
    if (outside <= slack && cost < smallest) {
      smallest = cost;
      found = index;
    }
  });
  return found;
}

/** Say where in the image a box lies, for people who do not see it: "top left". */
export function placeOf(box: Box, image: Size): string {
  const third = (low: number, high: number, length: number): number =>
    cut(Math.floor(((low + high) / 2 / length) * 3), 0, 2);
  const row = ["top", "middle", "bottom"][third(box[1], box[3], image.height)] ?? "middle";
  const column = ["left", "centre", "right"][third(box[0], box[2], image.width)] ?? "centre";
  return row === "middle" && column === "centre" ? "centre" : `${row} ${column}`;
}
