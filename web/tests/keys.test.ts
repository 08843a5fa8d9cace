// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";

import { commandFor } from "../src/editor/keys";

describe("keys", () => {
  it("go to other images as on the page of the study, unless a box is selected", () => {
    expect(commandFor({ key: "d" }, true)).toEqual({ do: "next" });
    expect(commandFor({ key: "A", shiftKey: true }, false)).toEqual({ do: "previous" });
    expect(commandFor({ key: "ArrowRight" }, false)).toEqual({ do: "next" });
    expect(commandFor({ key: "ArrowLeft" }, false)).toEqual({ do: "previous" });
    expect(commandFor({ key: "ArrowRight" }, true)).toEqual({ do: "move", dx: 1, dy: 0 });
  });

  it("move by ten with Shift and resize with Ctrl or Alt", () => {
    const up = { key: "ArrowUp" };
    expect(commandFor({ ...up, shiftKey: true }, true)).toEqual({ do: "move", dx: 0, dy: -10 });
    expect(commandFor({ ...up, ctrlKey: true }, true)).toEqual({ do: "grow", dx: 0, dy: -1 });
    const large = { ...up, altKey: true, shiftKey: true };
    expect(commandFor(large, true)).toEqual({ do: "grow", dx: 0, dy: -10 });
  });

  it("leave the browser's own shortcuts alone", () => {
    for (const key of ["r", "l", "a", "d", "0", "+", "1", "n"]) {
      expect(commandFor({ key, ctrlKey: true }, true)).toBeNull();
    }
    expect(commandFor({ key: "ArrowLeft", altKey: true }, false)).toBeNull();
    expect(commandFor({ key: "ArrowLeft", metaKey: true }, true)).toBeNull();
    expect(commandFor({ key: "d", altKey: true }, false)).toBeNull();
    expect(commandFor({ key: "F5" }, false)).toBeNull();
  });

  it("undo and redo in both ways people know", () => {
    expect(commandFor({ key: "z", ctrlKey: true }, false)).toEqual({ do: "undo" });
    const redo = { key: "Z", metaKey: true, shiftKey: true };
    expect(commandFor(redo, false)).toEqual({ do: "redo" });
    expect(commandFor({ key: "y", ctrlKey: true }, false)).toEqual({ do: "redo" });
  });

  it("number the kinds from one", () => {
    expect(commandFor({ key: "3" }, false)).toEqual({ do: "kind", index: 2 });
  });
});
