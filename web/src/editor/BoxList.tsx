// SPDX-License-Identifier: Apache-2.0
/** All boxes as a list: what a canvas cannot tell to a screen reader. */

import { memo } from "preact/compat";
import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { type Box, heightOf, placeOf, type Size, widthOf } from "./geometry";
import type { EditorModel, Item } from "./model";
import { kindColor } from "./paint";

/** Say what a box is: "face, top left, 40 × 52 px". */
export function describe(item: Item, size: Size): string {
  const box = item.region.box_xyxy as unknown as Box;
  const sides = `${Math.round(widthOf(box))} \u00d7 ${Math.round(heightOf(box))} px`;
  return `${item.region.kind}, ${placeOf(box, size)}, ${sides}`;
}

type RowProps = {
  item: Item;
  index: number;
  isSelected: boolean;
  size: Size;
  color: number;
  onPick: (key: number) => void;
};

/** A row is drawn again only when its own box changes: there may be a thousand. */
const Row = memo(function Row(props: RowProps): VNode {
  const { item, index, isSelected, size, color, onPick } = props;
  const box = item.region.box_xyxy as unknown as Box;
  return (
    <div
      id={`box-${item.key}`}
      role="option"
      class="box-row"
      aria-selected={isSelected}
      onClick={() => onPick(item.key)}
    >
      <span class={`swatch color-${color}`} aria-hidden="true" />
      <span class="box-number">{index + 1}</span>
      <span class="unseen">{describe(item, size)}</span>
      <span class="box-text" aria-hidden="true">
        {`${item.region.kind} \u00b7 ${placeOf(box, size)}`}
      </span>
      <span class="box-size" aria-hidden="true">
        {`${Math.round(widthOf(box))}\u00d7${Math.round(heightOf(box))}`}
      </span>
    </div>
  );
});

export function BoxList(props: {
  model: EditorModel;
  kinds: readonly string[];
  /** Called with Enter: the person wants to work on the box in the picture. */
  onEnter: () => void;
}): VNode {
  const { model, kinds } = props;
  const list = useRef<HTMLDivElement>(null);
  const pick = useRef((key: number) => model.select(key));
  pick.current = (key) => model.select(key);
  const stable = useRef((key: number) => pick.current(key));
  useEffect(() => {
    document.getElementById(`box-${model.selected}`)?.scrollIntoView({ block: "nearest" });
  }, [model.selected]);
  const onKeyDown = (event: KeyboardEvent): void => {
    const steps: Record<string, 1 | -1> = { ArrowDown: 1, ArrowUp: -1 };
    const step = steps[event.key];
    const ends: Record<string, number> = { Home: 0, End: model.items.length - 1 };
    const end = ends[event.key];
    if (step) {
      if (!model.selectNeighbour(step)) model.selectNeighbour(step === 1 ? -1 : 1);
    } else if (end !== undefined) {
      model.select(model.items[end]?.key ?? null);
    } else if (event.key === "Enter") {
      props.onEnter();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  if (model.items.length === 0) return <p class="hint">No box on this image.</p>;
  return (
    <div
      ref={list}
      class="box-list"
      role="listbox"
      aria-label="Boxes"
      tabIndex={0}
      aria-activedescendant={model.selected === null ? undefined : `box-${model.selected}`}
      onKeyDown={onKeyDown}
    >
      {model.items.map((item, index) => (
        <Row
          key={item.key}
          item={item}
          index={index}
          isSelected={item.key === model.selected}
          size={model.size}
          color={Number(kindColor(kinds.indexOf(item.region.kind)).slice(-1))}
          onPick={stable.current}
        />
      ))}
    </div>
  );
}
