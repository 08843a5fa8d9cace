// SPDX-License-Identifier: Apache-2.0
/** Shows what was wrong with an answer on a gold image. */

import type { VNode } from "preact";
import { useEffect, useMemo } from "preact/hooks";

import { feedbackOverlays, problemWords } from "../editor/markings";
import { Still } from "../editor/Still";
import { announce } from "../ui/announce";
import { Dialog } from "../ui/parts";
import { plural } from "../ui/text";
import type { Verdict } from "./session";

const TITLES: Record<Verdict["outcome"], string> = {
  "life-lost": "That picture was not right",
  restarted: "No life left: the batch starts again",
  "batch-lost": "This batch goes to somebody else",
};

function whatNext(verdict: Verdict): string {
  if (verdict.outcome === "life-lost") {
    return `You have ${plural(verdict.lives, "life", "lives")} left. Your work on the other pictures is kept.`;
  }
  if (verdict.outcome === "restarted") {
    const { attempt, max_attempts: most } = verdict.batch ?? { attempt: 0, max_attempts: 0 };
    return `You begin again with the first picture: attempt ${attempt} of ${most}.`;
  }
  return "All attempts at this batch are used up. Its pictures go to other people.";
}

export function VerdictDialog(props: { verdict: Verdict; onClose: () => void }): VNode {
  const { verdict } = props;
  const { feedback, task } = verdict;
  const overlays = useMemo(() => feedbackOverlays(feedback, verdict.drawn), [verdict]);
  useEffect(() => announce(`${TITLES[verdict.outcome]}. ${whatNext(verdict)}`, true), [verdict]);
  return (
    <Dialog title={TITLES[verdict.outcome]} onClose={props.onClose} isWide isForced>
      <p class="lead">{whatNext(verdict)}</p>
      <Still picture={verdict.picture} size={task} overlays={overlays} label="What was wrong" />
      <ul class="legend" aria-label="Legend">
        <li>
          <span class="line missed" aria-hidden="true" /> missed: cover it
        </li>
        <li>
          <span class="line stray" aria-hidden="true" /> crossed out: nothing to cover here
        </li>
        <li>
          <span class="line truth" aria-hidden="true" /> with a tick: right regions
        </li>
        <li>
          <span class="line own" aria-hidden="true" /> dotted: your other boxes
        </li>
      </ul>
      <ul class="problems">
        {problemWords(feedback.problems, task).map((words, index) => (
          <li key={index}>{words}</li>
        ))}
      </ul>
      <div class="buttons">
        <button type="button" class="primary" onClick={props.onClose} autofocus>
          {verdict.outcome === "restarted" ? "Start again" : "Go on"}
        </button>
      </div>
    </Dialog>
  );
}
