// SPDX-License-Identifier: Apache-2.0
/** Where the marks of an axis go; pure. */

/** Give round marks from 0 to at least `top`, about `n` of them; `top` 0 gives 0 and 1. */
export function countTicks(top: number, n = 5): number[] {
  if (!(top > 0)) return [0, 1];
  const rough = top / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough) ?? rough);
  const ticks = [0];
  while ((ticks[ticks.length - 1] ?? 0) < top) ticks.push(ticks.length * step);
  return ticks;
}

const MINUTE = 60_000;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080, 43_200].map(
  (minutes) => minutes * MINUTE,
);

/** Give moments between `from` and `to` at round local times, at most `n + 1`. */
export function timeTicks(from: number, to: number, n = 6): number[] {
  const step = STEPS.find((each) => (to - from) / each <= n) ?? (to - from) / n;
  const zone = new Date(from).getTimezoneOffset() * MINUTE;
  const first = Math.ceil((from - zone) / step) * step + zone;
  const ticks: number[] = [];
  for (let at = first; at <= to; at += step) ticks.push(at);
  return ticks;
}

export function timeLabel(at: number, spanMs: number): string {
  const date = new Date(at);
  if (spanMs > 3 * 1440 * MINUTE) {
    return date.toLocaleDateString("en", { day: "numeric", month: "short" });
  }
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  if (spanMs <= 1440 * MINUTE) return time;
  return `${date.toLocaleDateString("en", { weekday: "short" })} ${time}`;
}
