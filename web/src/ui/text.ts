// SPDX-License-Identifier: Apache-2.0
/** Numbers and times as people read them. */

import type { Estimate } from "../api/types";

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

/** A span such as "59:03" or "1:00:00". */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours
    ? `${hours}:${two(minutes)}:${two(seconds % 60)}`
    : `${minutes}:${two(seconds % 60)}`;
}

/** A span such as "40 min", "3.5 h", "2.1 days". */
export function span(hours: number): string {
  if (hours === 0) return "none";
  if (hours < 1) return `${Math.max(1, Math.round(hours * 60))} min`;
  return hours < 48 ? `${number(hours)} h` : `${number(hours / 24)} days`;
}

/** Three digits at most, thousands apart. */
export function number(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

export function percent(value: number): string {
  return `${(value * 100).toLocaleString("en", { maximumFractionDigits: 1 })}\u00a0%`;
}

export const NOTHING = "nothing measured yet";

/** The interval of an estimate, or what it lacks. */
export function interval(estimate: Estimate, show: (value: number) => string = number): string {
  if (estimate.value === null) return NOTHING;
  const n = `n\u00a0=\u00a0${estimate.n.toLocaleString("en")}`;
  if (estimate.low === null || estimate.high === null) return n;
  return `95\u00a0%: ${show(estimate.low)} to ${show(estimate.high)}, ${n}`;
}

export function ago(ms: number, now: number): string {
  const minutes = Math.floor((now - ms) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ago` : `${Math.floor(hours / 24)} days ago`;
}
