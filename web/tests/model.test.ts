// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";

import { EditorModel } from "../src/editor/model";

const face = (x: number, source: number | null = 0) => ({
  box_xyxy: [x, 0, x + 10, 10],
  kind: "face",
  source,
});

function make(isReadOnly = false): { model: EditorModel; pass: (ms: number) => void } {
  let now = 0;
  const size = { width: 100, height: 100 };
  const model = new EditorModel([face(0), face(20, 1)], size, "face", isReadOnly, () => now);
  return { model, pass: (ms) => (now += ms) };
}

describe("undo and redo", () => {
  it("take back and bring again every kind of step", () => {
    const { model } = make();
    const states = [model.regions];
    model.selectNeighbour(1);
    model.change([5, 5, 15, 15], "");
    states.push(model.regions);
    model.setKind("nsfw");
    states.push(model.regions);
    model.add([50, 50, 60, 60]);
    states.push(model.regions);
    model.removeSelected();
    states.push(model.regions);
    for (const state of states.slice(0, -1).reverse()) {
      expect(model.undo()).toBe(true);
      expect(model.regions).toEqual(state);
    }
    expect(model.undo()).toBe(false);
    for (const state of states.slice(1)) {
      expect(model.redo()).toBe(true);
      expect(model.regions).toEqual(state);
    }
    expect(model.redo()).toBe(false);
  });

  it("take quick steps of the arrows as one", () => {
    const { model, pass } = make();
    model.selectNeighbour(1);
    for (let x = 1; x <= 5; x++) {
      model.change([x, 0, x + 10, 10], "move");
      pass(100);
    }
    pass(1000);
    model.change([6, 0, 16, 10], "move");
    model.undo();
    expect(model.regions[0]?.box_xyxy).toEqual([5, 0, 15, 10]);
    model.undo();
    expect(model.regions[0]?.box_xyxy).toEqual([0, 0, 10, 10]);
    expect(model.canUndo).toBe(false);
  });

  it("forget what was undone once something new is done", () => {
    const { model } = make();
    model.add([50, 50, 60, 60]);
    model.undo();
    model.add([70, 70, 80, 80]);
    expect(model.canRedo).toBe(false);
  });

  it("select what came back", () => {
    const { model } = make();
    model.selectNeighbour(1);
    const key = model.selected;
    model.removeSelected();
    expect(model.selected).toBeNull();
    model.undo();
    expect(model.selected).toBe(key);
  });
});

it("keeps the source of a box that was moved, and gives none to a new one", () => {
  const { model } = make();
  model.selectNeighbour(-1);
  model.change([1, 1, 9, 9], "");
  model.add([50, 50, 60, 60]);
  expect(model.regions.map((region) => region.source)).toEqual([0, 1, null]);
});

it("leaves the corners of untouched boxes as they came", () => {
  const size = { width: 100, height: 100 };
  const region = { box_xyxy: [0.123456789, 1, 10.987654321, 20], kind: "face", source: 7 };
  const model = new EditorModel([region], size, "face");
  model.add([50, 50, 60, 60]);
  model.undo();
  expect(model.regions[0]).toBe(region);
});

it("walks through the boxes and out at both ends", () => {
  const { model } = make();
  expect([1, 1, 1].map((step) => model.selectNeighbour(step as 1))).toEqual([true, true, false]);
  expect(model.selected).toBeNull();
});

it("changes nothing that was closed", () => {
  const { model } = make(true);
  const before = model.regions;
  model.selectNeighbour(1);
  model.change([5, 5, 15, 15], "");
  model.add([50, 50, 60, 60]);
  model.setKind("nsfw");
  expect(model.removeSelected()).toBe(false);
  expect(model.regions).toEqual(before);
});
