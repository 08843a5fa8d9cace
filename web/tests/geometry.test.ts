// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";

import {
  type Box,
  boxAt,
  boxBetween,
  cutToImage,
  growBox,
  moveBox,
  placeOf,
} from "../src/editor/geometry";
import { fit, panBy, reveal, toImage, toScreen, zoomAt, zoomToBox } from "../src/editor/viewport";

const image = { width: 100, height: 60 };

describe("boxes", () => {
  it("are drawn in any direction and cut to the image", () => {
    expect(boxBetween({ x: 50, y: 40 }, { x: -5, y: 10 }, image)).toEqual([0, 10, 50, 40]);
  });

  it("keep at least a pixel, inside the image", () => {
    expect(cutToImage([100, 60, 100, 60], image)).toEqual([99, 59, 100, 60]);
    expect(cutToImage([300, -50, 400, -40], image)).toEqual([99, 0, 100, 1]);
  });

  it("fit into an image smaller than a box may be", () => {
    expect(cutToImage([0, 0, 5, 5], { width: 0.5, height: 0.5 })).toEqual([0, 0, 0.5, 0.5]);
  });

  it("stop at the border and keep their size when moved", () => {
    expect(moveBox([80, 40, 95, 55], 30, -100, image)).toEqual([85, 0, 100, 15]);
  });

  it("never turn inside out when made smaller", () => {
    expect(growBox([10, 10, 12, 12], -9, 100, image)).toEqual([10, 10, 11, 60]);
  });
});

describe("the box at a point", () => {
  const boxes: Box[] = [
    [0, 0, 50, 50],
    [10, 10, 20, 20],
    [60, 10, 62, 12],
  ];
  it("is the smallest that holds it", () => expect(boxAt(boxes, { x: 15, y: 15 })).toBe(1));
  it("may be near for a finger", () => {
    expect(boxAt(boxes, { x: 65, y: 11 })).toBe(-1);
    expect(boxAt(boxes, { x: 65, y: 11 }, 4)).toBe(2);
  });
  it("is one that holds the point rather than a nearer small one", () => {
    expect(boxAt(boxes, { x: 21, y: 15 }, 4)).toBe(0);
  });
});

it("says where a box lies", () => {
  expect(placeOf([0, 0, 10, 10], image)).toBe("top left");
  expect(placeOf([45, 25, 55, 35], image)).toBe("centre");
  expect(placeOf([90, 55, 100, 60], image)).toBe("bottom right");
});

describe("the view", () => {
  const screen = { width: 800, height: 600 };

  it("shows the whole image, centred", () => {
    const view = fit(image, screen, 0);
    const on = toScreen(view, [0, 0, 100, 60]);
    expect(on.map(Math.round)).toEqual([0, 60, 800, 540]);
  });

  it("keeps the point under the pointer while zooming", () => {
    const at = { x: 123, y: 456 };
    const view = fit(image, screen);
    const under = toImage(view, at);
    const nearer = toImage(zoomAt(view, 1.7, at, image, screen), at);
    expect(nearer.x).toBeCloseTo(under.x, 9);
    expect(nearer.y).toBeCloseTo(under.y, 9);
  });

  it("never loses the image", () => {
    const view = panBy(fit(image, screen), 1e6, -1e6, image, screen);
    const on = toScreen(view, [0, 0, 100, 60]);
    expect(on[0]).toBeLessThan(800);
    expect(on[3]).toBeGreaterThan(0);
  });

  it("has limits to zooming", () => {
    const at = { x: 0, y: 0 };
    expect(zoomAt(fit(image, screen), 1e9, at, image, screen).scale).toBe(32);
    expect(zoomAt(fit(image, screen), 1e-9, at, image, screen).scale).toBeGreaterThan(0.1);
  });

  it("brings a box into sight, and stands still if it is", () => {
    const near = zoomToBox([0, 0, 4, 4], image, screen);
    const moved = reveal(near, [95, 55, 99, 59], image, screen);
    const on = toScreen(moved, [95, 55, 99, 59]);
    expect(on[0]).toBeGreaterThanOrEqual(0);
    expect(on[2]).toBeLessThanOrEqual(800);
    const whole = fit(image, screen);
    expect(reveal(whole, [40, 20, 60, 40], image, screen)).toBe(whole);
  });
});
