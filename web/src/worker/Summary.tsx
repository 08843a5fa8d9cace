// SPDX-License-Identifier: Apache-2.0
import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { plural } from "../ui/text";
import type { Session } from "./session";

/** All images of the batch at a glance, before it is handed in. */
export function Summary({ session }: { session: Session }): VNode {
  const [isBusy, setBusy] = useState(false);
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => title.current?.focus(), []);
  const counts = session.tasks.map((task) => session.model(task).items.length);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const isWaiting = session.outgoing.waiting > 0;
  const submit = async (): Promise<void> => {
    setBusy(true);
    await session.submit();
    setBusy(false);
  };
  return (
    <main class="summary">
      <h1 ref={title} tabIndex={-1}>
        Ready to hand in
      </h1>
      <p class="lead">
        {plural(session.tasks.length, "image")} with {plural(total, "box", "boxes")}. Choose an
        image to look at it again.
      </p>
      <ol class="tiles">
        {session.tasks.map((task, index) => (
          <li key={task.task_id}>
            <button type="button" onClick={() => session.goTo(index)}>
              <strong>{index + 1}</strong>
              <span>{plural(counts[index] ?? 0, "box", "boxes")}</span>
            </button>
          </li>
        ))}
      </ol>
      <div class="buttons">
        <button type="button" onClick={() => session.previous()}>
          Back to the last image
        </button>
        <button
          type="button"
          class="primary"
          disabled={isBusy || isWaiting}
          onClick={() => void submit()}
        >
          {isWaiting ? "Saving ..." : "Hand in"}
        </button>
      </div>
    </main>
  );
}
