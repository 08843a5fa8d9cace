// SPDX-License-Identifier: Apache-2.0
/** What is drawn over a picture to explain an answer or to compare people. */

import type { Dispute, Feedback, Problem, Region } from "../api/types";
import { type Box, placeOf, sameBox, type Size } from "./geometry";
import type { Overlay } from "./paint";

/** Line styles tell people apart also where colours do not. */
const DASHES: readonly (readonly number[])[] = [[], [8, 4], [2, 3], [10, 3, 2, 3], [14, 6], [4, 4]];

const boxOf = (region: Region): Box => region.box_xyxy as unknown as Box;

export const PROBLEM_WORDS: Record<Problem["what"], string> = {
  missed: "missed",
  stray: "nothing here",
  overlap: "too different",
};

/** Truth, answer and problems of a gold image; each has a shape of its own besides its colour. */
export function feedbackOverlays(feedback: Feedback, drawn: readonly Region[]): Overlay[] {
  const problems = feedback.problems.map((problem): Overlay => {
    const box = problem.box_xyxy as unknown as Box;
    const label = PROBLEM_WORDS[problem.what];
    if (problem.what === "stray") {
      return { box, label, color: "--stray", dash: [], isCrossed: true, width: 3 };
    }
    return { box, label, color: "--missed", dash: [10, 5], width: 4 };
  });
  const isMarked = (box: Box): boolean => problems.some((each) => sameBox(each.box, box));
  const truth = feedback.truth.map(boxOf).filter((box) => !isMarked(box));
  const own = drawn.map(boxOf).filter((box) => !isMarked(box));
  return [
    ...own.map((box) => ({ box, color: "--own", dash: [2, 4], width: 2 })),
    ...truth.map((box) => ({ box, color: "--truth", dash: [], width: 2, label: "\u2713" })),
    ...problems,
  ];
}

/** The problems in words, for everybody who cannot see them. */
export function problemWords(problems: readonly Problem[], image: Size): string[] {
  const says: Record<Problem["what"], string> = {
    missed: "A region was not covered",
    stray: "A box covers no region, or is far too large",
    overlap: "The boxes and the right ones differ too much",
  };
  return problems.map((problem) => {
    const box = problem.box_xyxy as unknown as Box;
    return `${says[problem.what]}: ${placeOf(box, image)}.`;
  });
}

/** What is said of proposed regions that too few people drew; it goes when one is changed. */
export function voteNotes(dispute: Dispute): Map<Region, string> {
  const open = dispute.merged.filter((merged) => !merged.is_agreed);
  const of = dispute.replicas.length;
  return new Map(open.map((merged) => [merged.region, `${merged.votes} of ${of}`]));
}

export function replicaStyle(index: number): { color: string; dash: readonly number[] } {
  const color = `--replica-${(index % 6) + 1}`;
  return { color, dash: DASHES[index % DASHES.length] ?? [] };
}

/** What each person drew, in a line style of their own; `hidden` are left out. */
export function replicaOverlays(dispute: Dispute, hidden: ReadonlySet<number>): Overlay[] {
  return dispute.replicas.flatMap((replica, index) =>
    hidden.has(index)
      ? []
      : replica.regions.map((region) => ({
          box: boxOf(region),
          width: 2,
          // Side by side, so that equal boxes do not hide each other, nor the proposal them.
          outset: 4 * (index + 1),
          ...replicaStyle(index),
        })),
  );
}
