// SPDX-License-Identifier: Apache-2.0
/** Carries out what a key or a button asks of the editor. */

import { announce } from "../ui/announce";
import { plural } from "../ui/text";
import { describe } from "./BoxList";
import { type Box, growBox, moveBox } from "./geometry";
import type { Command } from "./keys";
import type { EditorModel } from "./model";
import type { Pointer } from "./pointer";
import type { Scene } from "./scene";
import { toImage } from "./viewport";

export type Tools = {
  readonly model: EditorModel;
  readonly scene: Scene;
  readonly pointer: Pointer;
  readonly kinds: readonly string[];
  /** Esc deletes the selected box, as on the page of the ImageNet face study. */
  readonly escDeletes: () => boolean;
  /** Whatever concerns more than this image: next, previous, help. */
  readonly onCommand: (command: Command) => void;
  readonly redraw: () => void;
};

/** Read the selected box out, where it lies and how large it is. */
export function tellSelected(model: EditorModel): void {
  const item = model.current;
  if (!item) return;
  const place = model.items.indexOf(item) + 1;
  announce(`Box ${place} of ${model.items.length}: ${describe(item, model.size)}`);
}

export function runCommand(command: Command, tools: Tools): void {
  const { model, scene } = tools;
  switch (command.do) {
    case "move":
    case "grow":
      stepBox(command, tools);
      break;
    case "pan":
      scene.panBy(command.dx, command.dy);
      break;
    case "zoom-in":
      scene.zoomBy(1.25);
      break;
    case "zoom-out":
      scene.zoomBy(1 / 1.25);
      break;
    case "zoom-fit":
      scene.showAll();
      break;
    case "zoom-box":
      if (model.current) scene.zoomTo(model.current.region.box_xyxy as unknown as Box);
      break;
    case "hide":
      scene.isHidden = !scene.isHidden;
      scene.showBoxes();
      announce(scene.isHidden ? "Boxes hidden" : "Boxes shown");
      tools.redraw();
      break;
    case "tool":
      tools.pointer.tool = command.tool;
      tools.redraw();
      break;
    default:
      editBoxes(command, tools);
  }
}

function editBoxes(command: Command, tools: Tools): void {
  const { model, pointer } = tools;
  switch (command.do) {
    case "delete":
      if (model.removeSelected()) tellDeleted(model);
      break;
    case "escape":
      if (pointer.breakOff()) break;
      if (tools.escDeletes() && model.removeSelected()) tellDeleted(model);
      else model.select(null);
      break;
    case "done":
      model.select(null);
      break;
    case "undo":
      announce(model.undo() ? "Undone" : "Nothing to undo");
      break;
    case "redo":
      announce(model.redo() ? "Done again" : "Nothing to do again");
      break;
    case "new":
      newBox(tools);
      break;
    case "kind": {
      const kind = tools.kinds[command.index];
      if (kind === undefined) break;
      model.setKind(kind);
      announce(model.current ? `Kind: ${kind}` : `New boxes: ${kind}`);
      break;
    }
    default:
      tools.onCommand(command);
  }
}

function tellDeleted(model: EditorModel): void {
  announce(`Box deleted, ${plural(model.items.length, "box", "boxes")} left`);
}

function stepBox(command: Command & { dx: number; dy: number }, tools: Tools): void {
  const { model, scene } = tools;
  const item = model.current;
  if (!item) return;
  const change = command.do === "move" ? moveBox : growBox;
  const box = item.region.box_xyxy as unknown as Box;
  model.change(change(box, command.dx, command.dy, model.size), command.do);
  scene.reveal(model.current?.region.box_xyxy as unknown as Box);
}

/** Put a box into the middle of what is in sight; the arrows then take it to its place. */
function newBox({ model, scene }: Tools): void {
  const { width, height } = scene.screen;
  const side = Math.min(width, height) / 10;
  const a = toImage(scene.view, { x: width / 2 - side, y: height / 2 - side });
  const b = toImage(scene.view, { x: width / 2 + side, y: height / 2 + side });
  model.add([Math.round(a.x), Math.round(a.y), Math.round(b.x), Math.round(b.y)]);
  tellSelected(model);
}
