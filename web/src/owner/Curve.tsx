// SPDX-License-Identifier: Apache-2.0
import type { VNode } from "preact";

import type { CurvePoint } from "../api/types";
import { NOTHING, plural } from "../ui/text";
import { countTicks, timeLabel, timeTicks } from "./ticks";

const WIDTH = 640;
const HEIGHT = 210;
const LEFT = 52;
const RIGHT = 16;
const TOP = 12;
const BOTTOM = 30;

type Series = { label: string; name: "n_done" | "n_added"; style: "chart-1" | "chart-2" };

/** Images done and regions added over time, one above the other: each has an axis of its own. */
export function Curves({ curve }: { curve: readonly CurvePoint[] }): VNode {
  if (curve.length < 2) return <p class="empty">{NOTHING}</p>;
  return (
    <div class="curves">
      <Curve curve={curve} label="Answers" name="n_done" style="chart-1" />
      <Curve curve={curve} label="Regions that people added" name="n_added" style="chart-2" />
    </div>
  );
}

function Curve({ curve, label, name, style }: Series & { curve: readonly CurvePoint[] }): VNode {
  const from = curve[0]?.at_ms ?? 0;
  const to = Math.max(curve[curve.length - 1]?.at_ms ?? 1, from + 60_000);
  const highest = Math.max(...curve.map((point) => point[name]));
  const rows = countTicks(highest, 4);
  const top = rows[rows.length - 1] ?? 1;
  const x = (at: number): number => LEFT + ((at - from) / (to - from)) * (WIDTH - LEFT - RIGHT);
  const y = (n: number): number => HEIGHT - BOTTOM - (n / top) * (HEIGHT - TOP - BOTTOM);
  // Counts stand still between two moments: steps, not slopes.
  const steps = curve.map((point, index) => {
    const at = x(point.at_ms).toFixed(1);
    const to_y = y(point[name]).toFixed(1);
    return index === 0 ? `M${at} ${to_y}` : `H${at}V${to_y}`;
  });
  const line = steps.join("");
  const area = `${line}V${y(0)}H${x(from)}Z`;
  const last = curve[curve.length - 1];
  const total = last ? last[name] : 0;
  return (
    <figure class="curve">
      <figcaption>
        {label} <strong>{total.toLocaleString("en")}</strong>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={`${label} over time: ${plural(total, "in all", "in all")} at ${timeLabel(to, to - from)}`}
      >
        {rows.map((n) => (
          <g key={n}>
            <line class="grid" x1={LEFT} x2={WIDTH - RIGHT} y1={y(n)} y2={y(n)} />
            <text class="axis" x={LEFT - 8} y={y(n) + 4} text-anchor="end">
              {n.toLocaleString("en")}
            </text>
          </g>
        ))}
        {timeTicks(from, to).map((at) => (
          <g key={at}>
            <line class="tick" x1={x(at)} x2={x(at)} y1={y(0)} y2={y(0) + 5} />
            <text class="axis" x={x(at)} y={HEIGHT - 8} text-anchor="middle">
              {timeLabel(at, to - from)}
            </text>
          </g>
        ))}
        <path class={`area ${style}`} d={area} />
        <path class={`stroke ${style}`} d={line} />
        {last && <circle class={`dot ${style}`} cx={x(last.at_ms)} cy={y(total)} r={4} />}
      </svg>
    </figure>
  );
}
