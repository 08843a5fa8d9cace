// SPDX-License-Identifier: Apache-2.0
/** Which key does what; pure, so that the list in the help and the keys cannot part. */

export type Command =
  | { do: "next" | "previous" | "delete" | "escape" | "undo" | "redo" | "new" | "help" }
  | { do: "zoom-in" | "zoom-out" | "zoom-fit" | "zoom-box" | "hide" | "done" }
  | { do: "kind"; index: number }
  | { do: "tool"; tool: Tool }
  | { do: "move" | "grow" | "pan"; dx: number; dy: number };

export type Tool = "edit" | "draw" | "hand";

/** What a key event tells; a KeyboardEvent fits. */
export type Key = {
  key: string;
  shiftKey?: boolean;
  ctrlKey?: boolean;
  metaKey?: boolean;
  altKey?: boolean;
};

const ARROWS: Record<string, readonly [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** How far a step pans, in pixels of the screen. */
const PAN = 60;

const PLAIN: Record<string, Command> = {
  d: { do: "next" },
  PageDown: { do: "next" },
  a: { do: "previous" },
  PageUp: { do: "previous" },
  Delete: { do: "delete" },
  Backspace: { do: "delete" },
  x: { do: "delete" },
  Escape: { do: "escape" },
  Enter: { do: "done" },
  n: { do: "new" },
  h: { do: "hide" },
  z: { do: "zoom-box" },
  "+": { do: "zoom-in" },
  "=": { do: "zoom-in" },
  "-": { do: "zoom-out" },
  "0": { do: "zoom-fit" },
  "?": { do: "help" },
  v: { do: "tool", tool: "edit" },
  w: { do: "tool", tool: "draw" },
  g: { do: "tool", tool: "hand" },
};

/**
 * Say what a key does.
 *
 * @param hasBox Whether a box is selected: arrows then move it, otherwise the left and the
 *   right one go to another image.
 */
export function commandFor(key: Key, hasBox: boolean): Command | null {
  const arrow = ARROWS[key.key];
  if (arrow) return arrowCommand(key, arrow, hasBox);
  const name = key.key.length === 1 ? key.key.toLowerCase() : key.key;
  if (key.ctrlKey || key.metaKey) {
    if (name === "z") return { do: key.shiftKey ? "redo" : "undo" };
    return name === "y" ? { do: "redo" } : null;
  }
  if (key.altKey) return null;
  if (/^[1-9]$/.test(name)) return { do: "kind", index: Number(name) - 1 };
  return PLAIN[name] ?? null;
}

function arrowCommand(
  key: Key,
  [dx, dy]: readonly [number, number],
  hasBox: boolean,
): Command | null {
  const step = key.shiftKey ? 10 : 1;
  const isGrowing = key.altKey || key.ctrlKey;
  if (key.metaKey || (isGrowing && !hasBox)) return null;
  if (hasBox) return { do: isGrowing ? "grow" : "move", dx: dx * step, dy: dy * step };
  if (key.shiftKey || dx === 0) return { do: "pan", dx: -dx * PAN, dy: -dy * PAN };
  return { do: dx > 0 ? "next" : "previous" };
}

/** What the help lists: keys and what they do. */
export const KEY_HELP: readonly (readonly [string, string])[] = [
  ["D, Page Down, \u2192", "Save and go to the next image (the arrow: when no box is selected)"],
  ["A, Page Up, \u2190", "Back to the image before"],
  ["Drag", "Draw a box on free ground; move a box; with Shift, draw over another box"],
  ["N", "A new box in the middle; the arrows then place it"],
  ["Tab, Shift+Tab", "Select the next box, the box before"],
  ["Arrows", "Move the selected box by 1 pixel; with Shift by 10"],
  ["Ctrl or Alt + arrows", "Make it larger or smaller; with Shift by 10 pixels"],
  ["Delete, Backspace, X", "Delete the selected box"],
  ["1, 2, 3 ...", "Kind of the box"],
  ["Enter", "Done with this box"],
  ["Esc", "Break off drawing; otherwise deselect the box"],
  ["Ctrl+Z, Ctrl+Shift+Z", "Undo, redo (also Ctrl+Y)"],
  ["Wheel, +, \u2212, 0", "Zoom in, out, whole image"],
  ["Z", "Zoom to the selected box"],
  ["Space + drag, two fingers", "Move the picture (also the middle button)"],
  ["Shift + arrows, \u2191, \u2193", "Move the picture when no box is selected"],
  ["V, W, G", "Tools: edit, draw over everything, move the picture"],
  ["H", "Hide or show the boxes"],
  ["?", "Instructions and this list"],
];
