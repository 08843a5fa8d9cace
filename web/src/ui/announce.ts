// SPDX-License-Identifier: Apache-2.0
/** Tells people with a screen reader what changed; the two places lie in index.html. */

export function announce(text: string, isUrgent = false): void {
  const place = document.getElementById(isUrgent ? "urgent" : "polite");
  if (!place) return;
  // The same words twice would not be read twice.
  place.textContent = place.textContent === text ? `${text}\u00a0` : text;
}
