// SPDX-License-Identifier: Apache-2.0
/** Marks in the browser's own timeline: how long people wait. Nothing of it is sent. */

let hasStep = false;
let hasFirst = false;

/** The person asked for another image. */
export function markStep(): void {
  performance.mark("veilset-step");
  hasStep = true;
}

/** The picture was drawn; it is on the screen with the next frame. */
export function markShown(): void {
  requestAnimationFrame(() => {
    if (!hasFirst) performance.mark("veilset-first-image");
    hasFirst = true;
    if (hasStep) performance.measure("veilset-image-step", "veilset-step");
    hasStep = false;
  });
}
