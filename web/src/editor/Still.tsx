// SPDX-License-Identifier: Apache-2.0
/** A picture with markings that can be looked at from near, but not changed. */

import type { VNode } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

import type { Size } from "./geometry";
import { EditorModel } from "./model";
import type { Overlay } from "./paint";
import { Pointer } from "./pointer";
import { type Picture, Scene } from "./scene";

const KEYS: Record<string, (scene: Scene) => void> = {
  "+": (scene) => scene.zoomBy(1.25),
  "=": (scene) => scene.zoomBy(1.25),
  "-": (scene) => scene.zoomBy(0.8),
  "0": (scene) => scene.showAll(),
  ArrowLeft: (scene) => scene.panBy(60, 0),
  ArrowRight: (scene) => scene.panBy(-60, 0),
  ArrowUp: (scene) => scene.panBy(0, 60),
  ArrowDown: (scene) => scene.panBy(0, -60),
};

export function Still(props: {
  picture: Picture;
  size: Size;
  overlays: readonly Overlay[];
  label: string;
}): VNode {
  const surface = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (!surface.current || !canvas.current) return undefined;
    const place = surface.current;
    const model = new EditorModel([], props.size, "", true);
    const scene = new Scene(canvas.current, model, [], () => undefined);
    const pointer = new Pointer(place, scene, model);
    pointer.tool = "hand";
    scene.overlays = props.overlays;
    const measure = (): void => scene.setScreen(place.clientWidth, place.clientHeight);
    measure();
    scene.setPicture(props.picture);
    scene.stage.draw();
    const sizes = new ResizeObserver(measure);
    sizes.observe(place);
    const down = (event: KeyboardEvent): void => {
      const act = KEYS[event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      act(scene);
      event.preventDefault();
    };
    place.addEventListener("keydown", down);
    return () => {
      sizes.disconnect();
      place.removeEventListener("keydown", down);
      pointer.end();
      scene.destroy();
    };
  }, [props.picture, props.overlays]);
  const label = `${props.label}. Plus and minus zoom, arrows move the picture.`;
  return (
    <div
      ref={surface}
      class="surface still tool-hand"
      role="application"
      tabIndex={0}
      aria-label={label}
    >
      <div ref={canvas} class="canvas" aria-hidden="true" />
    </div>
  );
}
