// SPDX-License-Identifier: Apache-2.0
import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { Notice } from "../ui/parts";
import { plural } from "../ui/text";
import type { Session, Stage } from "./session";

type Words = { title: string; text: string; again: string };

function wordsFor(stage: Stage, session: Session): Words {
  switch (stage) {
    case "submitted":
      return {
        title: "Thank you",
        text: `${plural(session.nSubmitted, "image")} handed in.`,
        again: "Next batch",
      };
    case "no-work":
      return {
        title: "Nothing to do now",
        text: "There is no image left for you at the moment. Batches that others leave come back, so look again later.",
        again: "Look again",
      };
    case "blocked":
      return {
        title: "No more batches",
        text: "Too many of your batches did not pass the pictures that are known already. Ask whoever invited you.",
        again: "",
      };
    case "lost":
      return {
        title: "This batch is no longer yours",
        text: "It was given back, or its time ran out. What you saved before is kept if you get the same images again.",
        again: "Get a batch",
      };
    case "failed":
      return {
        title: "This batch went to somebody else",
        text: "All attempts at it were used up. Read the instructions again before the next one.",
        again: "Next batch",
      };
    case "finished":
      return {
        title: "This batch is finished",
        text: "A HIT is one batch. Accept another HIT to go on.",
        again: "",
      };
    default:
      return { title: "You are signed out", text: "Open your sign-in link again.", again: "" };
  }
}

/** Everything that is not work on a picture. */
export function Ending(props: { session: Session; finishUrl: string }): VNode {
  const { session } = props;
  const again = useRef<HTMLButtonElement>(null);
  useEffect(() => again.current?.focus(), [session.stage]);
  if (session.stage === "loading") {
    return (
      <Notice title={session.problem ? "No batch yet" : "Getting your batch"}>
        <p aria-busy={!session.problem}>{session.problem || "One moment."}</p>
        {session.problem && (
          <button type="button" class="primary" onClick={() => void session.start()}>
            Try again
          </button>
        )}
      </Notice>
    );
  }
  const words = wordsFor(session.stage, session);
  // Of a paid crowd, people do one batch, and are paid by handing it in over there.
  const isPaid = ["submitted", "failed", "finished"].includes(session.stage) && props.finishUrl;
  return (
    <Notice title={words.title}>
      <p>{words.text}</p>
      {session.problem && <p class="hint">{session.problem}</p>}
      {isPaid && (
        <>
          <p>One step is left: hand in the HIT.</p>
          <button
            ref={again}
            type="button"
            class="primary"
            onClick={() => location.assign(props.finishUrl)}
          >
            Hand in
          </button>
        </>
      )}
      {words.again && !isPaid && (
        <button ref={again} type="button" class="primary" onClick={() => void session.start()}>
          {words.again}
        </button>
      )}
    </Notice>
  );
}
