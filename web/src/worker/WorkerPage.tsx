// SPDX-License-Identifier: Apache-2.0
import "./worker.css";

import type { VNode } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";

import type { Api } from "../api/client";
import type { Me } from "../api/types";
import { Editor } from "../editor/Editor";
import type { Command } from "../editor/keys";
import { announce } from "../ui/announce";
import { Notice, useListen } from "../ui/parts";
import { markShown, markStep } from "../ui/timing";
import { Ending } from "./Ending";
import { escDeletes, Instructions } from "./Instructions";
import { useLease } from "./LeaseWatch";
import { Session } from "./session";
import { Summary } from "./Summary";
import { TopBar } from "./TopBar";
import { VerdictDialog } from "./VerdictDialog";

export function WorkerPage(props: { api: Api; me: Me; onSignOut: () => void }): VNode {
  const { api, me } = props;
  const session = useMemo(() => new Session(api, me.job), [api, me.job]);
  const [hasHelp, setHelp] = useState(true);
  useListen((tell) => session.listen(tell), session);
  useEffect(() => watchPage(session), [session]);
  const lease = useLease(session, api);
  const onCommand = (command: Command): void => {
    if (command.do === "help") setHelp(true);
    if (command.do === "next") step(session, () => session.next());
    if (command.do === "previous") step(session, () => session.previous());
  };
  const isAtWork = session.stage === "working" || session.stage === "checking";
  return (
    <div class="page worker">
      <TopBar
        session={session}
        me={me}
        lease={lease}
        onHelp={() => setHelp(true)}
        onSignOut={props.onSignOut}
      />
      {session.stage === "working" && <Work session={session} onCommand={onCommand} />}
      {session.stage === "checking" && <Summary session={session} />}
      {!isAtWork && <Ending session={session} finishUrl={me.finish_url} />}
      {session.verdict && (
        <VerdictDialog verdict={session.verdict} onClose={() => session.closeVerdict()} />
      )}
      {hasHelp && isAtWork && !session.verdict && (
        <Instructions job={me.job} hasGold={me.role === "worker"} onClose={() => setHelp(false)} />
      )}
    </div>
  );
}

function step(session: Session, go: () => void): void {
  markStep();
  const before = session.position;
  go();
  if (session.stage !== "working" || session.position === before) return;
  const n = session.task ? session.model(session.task).items.length : 0;
  announce(`Image ${session.position + 1} of ${session.tasks.length}, ${n} boxes`);
}

/** Start, count the time, and warn before unsaved work is left behind. */
function watchPage(session: Session): () => void {
  void session.start();
  const leave = (event: BeforeUnloadEvent): void => {
    if (session.isUnsaved) event.preventDefault();
  };
  const look = (): void => session.countTime(document.hidden);
  const online = (): void => session.hurry();
  window.addEventListener("beforeunload", leave);
  window.addEventListener("online", online);
  document.addEventListener("visibilitychange", look);
  return () => {
    window.removeEventListener("beforeunload", leave);
    window.removeEventListener("online", online);
    document.removeEventListener("visibilitychange", look);
  };
}

function Work(props: { session: Session; onCommand: (command: Command) => void }): VNode {
  const { session, onCommand } = props;
  const task = session.task;
  const [loaded, setLoaded] = useState<{ taskId: number; picture: ImageBitmap } | null>(null);
  const [tries, setTries] = useState(0);
  const taskId = task?.task_id;
  useEffect(() => {
    let isWanted = true;
    if (taskId === undefined) return undefined;
    session.pictures.get(taskId).then(
      (picture) => isWanted && setLoaded({ taskId, picture }),
      (error: unknown) => isWanted && session.pictureFailed(error),
    );
    return () => {
      isWanted = false;
    };
  }, [taskId, tries]);
  if (!task) return <Notice title="Loading">Please wait.</Notice>;
  const isLast = session.position + 1 === session.tasks.length;
  return (
    <main class="work">
      <h1 class="unseen">
        Image {session.position + 1} of {session.tasks.length}
      </h1>
      {loaded?.taskId === task.task_id ? (
        <Editor
          model={session.model(task)}
          picture={loaded.picture}
          kinds={session.job.kinds}
          escDeletes={escDeletes}
          onCommand={onCommand}
          onShown={markShown}
        >
          {session.isClosed(task) && (
            <p class="hint">This picture was checked; it cannot be changed any more.</p>
          )}
        </Editor>
      ) : (
        <div class="waiting" aria-busy="true">
          <p>Loading the picture ...</p>
          {session.problem && (
            <button type="button" onClick={() => setTries(tries + 1)}>
              Try again
            </button>
          )}
        </div>
      )}
      <nav class="steps" aria-label="Images">
        <button
          type="button"
          disabled={session.position === 0}
          onClick={() => onCommand({ do: "previous" })}
        >
          Back <kbd>A</kbd>
        </button>
        <button type="button" class="primary" onClick={() => onCommand({ do: "next" })}>
          {isLast ? "Save and check" : "Save and next"} <kbd>D</kbd>
        </button>
      </nav>
    </main>
  );
}
