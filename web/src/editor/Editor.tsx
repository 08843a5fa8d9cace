// SPDX-License-Identifier: Apache-2.0
/** The picture, its tools and the list of boxes; used by workers and for disputes. */

import type { ComponentChildren, VNode } from "preact";
import { useLayoutEffect, useReducer, useRef } from "preact/hooks";

import type { Region } from "../api/types";
import { Icon, useListen } from "../ui/parts";
import { plural } from "../ui/text";
import { BoxList } from "./BoxList";
import { runCommand, tellSelected, type Tools } from "./commands";
import { type Command, commandFor, type Tool } from "./keys";
import type { EditorModel } from "./model";
import { kindColor, type Overlay } from "./paint";
import { Pointer } from "./pointer";
import { type Picture, Scene } from "./scene";

export type EditorProps = {
  model: EditorModel;
  picture: Picture;
  kinds: readonly string[];
  overlays?: readonly Overlay[];
  notes?: ReadonlyMap<Region, string>;
  escDeletes?: () => boolean;
  onCommand: (command: Command) => void;
  /** Called once the picture is on the screen. */
  onShown?: () => void;
  /** More for the panel beside the picture. */
  children?: ComponentChildren;
};

const TOOLS: readonly (readonly [Tool, string, string])[] = [
  ["edit", "Edit", "Edit boxes, and draw on free ground (V)"],
  ["draw", "Draw", "Draw over everything (W)"],
  ["hand", "Pan", "Move the picture (G)"],
];

export function Editor(props: EditorProps): VNode {
  const surface = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLDivElement>(null);
  const tools = useRef<Tools | null>(null);
  const [, redraw] = useReducer((n: number, _: undefined) => n + 1, 0);
  const latest = useRef(props);
  latest.current = props;
  useListen((tell) => props.model.listen(tell), props.model);
  useLayoutEffect(() => {
    if (!surface.current || !canvas.current) return undefined;
    const made = openScene(surface.current, canvas.current, latest, () => redraw(undefined));
    tools.current = made.tools;
    redraw(undefined);
    return made.close;
  }, [props.model, props.picture]);
  useLayoutEffect(() => {
    const scene = tools.current?.scene;
    if (!scene) return;
    scene.overlays = props.overlays ?? [];
    scene.notes = props.notes ?? new Map();
    scene.showBoxes();
  }, [props.overlays, props.model]);
  const run = (command: Command): void => {
    if (tools.current) runCommand(command, tools.current);
  };
  const { model } = props;
  return (
    <div class="editor">
      <div
        ref={surface}
        class={`surface tool-${tools.current?.pointer.tool ?? "edit"}`}
        role="application"
        tabIndex={0}
        data-testid="surface"
        aria-label={`Picture with ${plural(model.items.length, "box", "boxes")}. Tab selects a box, N makes one, question mark lists all keys.`}
      >
        <div ref={canvas} class="canvas" aria-hidden="true" />
        <ZoomButtons run={run} />
      </div>
      <aside class="panel" aria-label="Tools and boxes">
        {!model.isReadOnly && <ToolButtons run={run} tool={tools.current?.pointer.tool} />}
        {!model.isReadOnly && <KindButtons model={model} kinds={props.kinds} run={run} />}
        {!model.isReadOnly && <EditButtons model={model} run={run} />}
        {props.children}
        <section class="boxes">
          <h2>
            Boxes <span class="count">{model.items.length}</span>
            {tools.current?.scene.isHidden && <span class="tag">hidden</span>}
          </h2>
          <BoxList
            model={model}
            kinds={props.kinds}
            onEnter={() => surface.current?.focus({ preventScroll: true })}
          />
        </section>
      </aside>
    </div>
  );
}

/** Build the scene and wire it to the model, the pointer and the keyboard. */
function openScene(
  surface: HTMLDivElement,
  canvas: HTMLDivElement,
  latest: { readonly current: EditorProps },
  redraw: () => void,
): { tools: Tools; close: () => void } {
  const { model, picture, kinds, overlays, notes } = latest.current;
  const scene = new Scene(canvas, model, kinds, (box) => model.change(box, ""));
  const pointer = new Pointer(surface, scene, model);
  scene.overlays = overlays ?? [];
  scene.notes = notes ?? new Map();
  const measure = (): void => scene.setScreen(surface.clientWidth, surface.clientHeight);
  measure();
  scene.setPicture(picture);
  // Drawn at once: the next frame must not be blank.
  scene.stage.draw();
  latest.current.onShown?.();
  const tools: Tools = {
    model,
    scene,
    pointer,
    kinds,
    escDeletes: () => latest.current.escDeletes?.() ?? false,
    onCommand: (command) => latest.current.onCommand(command),
    redraw,
  };
  const sizes = new ResizeObserver(measure);
  sizes.observe(surface);
  const unlisten = model.listen(() => scene.showBoxes());
  const unkey = listenToKeys(surface, tools);
  const restyle = new MutationObserver(() => scene.showBoxes());
  restyle.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  return {
    tools,
    close: () => {
      sizes.disconnect();
      restyle.disconnect();
      unlisten();
      unkey();
      pointer.end();
      scene.destroy();
    },
  };
}

/** Keys work wherever the focus is, except where the focused element needs them itself. */
function listenToKeys(surface: HTMLElement, tools: Tools): () => void {
  const { model, pointer, scene } = tools;
  const down = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (target.closest("input, textarea, select")) return;
    if (event.key === "Tab" && target === surface && !event.ctrlKey && !event.altKey) {
      // Past the last box the focus goes on as anywhere else: the picture is no trap.
      if (!model.selectNeighbour(event.shiftKey ? -1 : 1)) return;
      event.preventDefault();
      scene.reveal(model.current?.region.box_xyxy as unknown as [number, number, number, number]);
      tellSelected(model);
      return;
    }
    const isButton = target.closest("button, a, summary, [role=listbox]") !== null;
    if (isButton && (event.key === "Enter" || event.key === " ")) return;
    if (event.key === " ") {
      pointer.isSpaceDown = true;
      surface.classList.add("panning");
      event.preventDefault();
      return;
    }
    const command = commandFor(event, model.selected !== null);
    if (!command) return;
    event.preventDefault();
    runCommand(command, tools);
  };
  const up = (event: KeyboardEvent): void => {
    if (event.key !== " ") return;
    pointer.isSpaceDown = false;
    surface.classList.remove("panning");
  };
  document.addEventListener("keydown", down);
  document.addEventListener("keyup", up);
  return () => {
    document.removeEventListener("keydown", down);
    document.removeEventListener("keyup", up);
  };
}

type Run = (command: Command) => void;

function ZoomButtons({ run }: { run: Run }): VNode {
  const buttons: readonly (readonly [Command, string, string])[] = [
    [{ do: "zoom-in" }, "plus", "Zoom in (+)"],
    [{ do: "zoom-out" }, "minus", "Zoom out (-)"],
    [{ do: "zoom-fit" }, "whole", "Whole image (0)"],
    [{ do: "hide" }, "eye", "Hide or show the boxes (H)"],
  ];
  // A press on a button over the picture must not begin to draw beneath it.
  const stay = (event: Event): void => event.stopPropagation();
  return (
    <div class="zoom" onPointerDown={stay}>
      {buttons.map(([command, icon, title]) => (
        <button
          key={icon}
          type="button"
          class="icon-only"
          title={title}
          aria-label={title}
          onClick={() => run(command)}
        >
          <Icon name={icon} />
        </button>
      ))}
    </div>
  );
}

function ToolButtons({ run, tool = "edit" }: { run: Run; tool?: Tool | undefined }): VNode {
  return (
    <div class="segments" role="group" aria-label="Tool">
      {TOOLS.map(([name, label, title]) => (
        <button
          key={name}
          type="button"
          title={title}
          aria-pressed={tool === name}
          onClick={() => run({ do: "tool", tool: name })}
        >
          <Icon name={name} /> {label}
        </button>
      ))}
    </div>
  );
}

function KindButtons(props: { model: EditorModel; kinds: readonly string[]; run: Run }): VNode {
  const current = props.model.current?.region.kind ?? props.model.kind;
  return (
    <div class="kinds" role="group" aria-label="Kind of the box">
      {props.kinds.map((kind, index) => (
        <button
          key={kind}
          type="button"
          aria-pressed={kind === current}
          onClick={() => props.run({ do: "kind", index })}
        >
          <span class={`swatch color-${kindColor(index).slice(-1)}`} aria-hidden="true" />
          {kind}
          {index < 9 && <kbd>{index + 1}</kbd>}
        </button>
      ))}
    </div>
  );
}

function EditButtons({ model, run }: { model: EditorModel; run: Run }): VNode {
  const buttons: readonly (readonly [Command, string, string, boolean])[] = [
    [{ do: "undo" }, "undo", "Undo", model.canUndo],
    [{ do: "redo" }, "redo", "Redo", model.canRedo],
    [{ do: "new" }, "plus", "New box", true],
    [{ do: "delete" }, "trash", "Delete", model.current !== undefined],
  ];
  return (
    <div class="edit-buttons" role="group" aria-label="Change">
      {buttons.map(([command, icon, label, isPossible]) => (
        <button key={label} type="button" disabled={!isPossible} onClick={() => run(command)}>
          <Icon name={icon} /> {label}
        </button>
      ))}
    </div>
  );
}
