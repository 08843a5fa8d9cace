// SPDX-License-Identifier: Apache-2.0
import type { VNode } from "preact";

import type { Estimate } from "../api/types";
import { interval, NOTHING, number } from "../ui/text";

type Show = (value: number) => string;

/** A number with its interval below; without data it says so. */
export function Figure(props: {
  label: string;
  estimate: Estimate;
  show?: Show;
  hint?: string;
}): VNode {
  const { estimate, show = number } = props;
  return (
    <div class="figure">
      <dt>{props.label}</dt>
      {estimate.value === null ? (
        <dd class="none">{NOTHING}</dd>
      ) : (
        <dd>
          <span class="value">{show(estimate.value)}</span>
          <span class="interval">{interval(estimate, show)}</span>
        </dd>
      )}
      {props.hint && <dd class="hint">{props.hint}</dd>}
    </div>
  );
}
