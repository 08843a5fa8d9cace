// SPDX-License-Identifier: Apache-2.0
/** The queue of images on which people do not agree. */

import type { VNode } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";

import type { Api } from "../api/client";
import type { Dispute, Job } from "../api/types";
import { Editor } from "../editor/Editor";
import type { Command } from "../editor/keys";
import { replicaOverlays, replicaStyle, voteNotes } from "../editor/markings";
import { EditorModel } from "../editor/model";
import { announce } from "../ui/announce";
import { sentence } from "../ui/parts";
import { plural } from "../ui/text";

type Queue = { total: number; dispute: Dispute | null; picture: ImageBitmap | null };

export function Disputes(props: { api: Api; job: Job; onChanged: () => void }): VNode {
  const { api, job } = props;
  const [queue, setQueue] = useState<Queue | null>(null);
  const [problem, setProblem] = useState("");
  const load = async (after: number): Promise<void> => {
    setProblem("");
    try {
      let found = await api.disputes(after, 1);
      // Past the last one the queue begins again with those that were left for later.
      if (found.disputes.length === 0 && after > 0) found = await api.disputes(0, 1);
      const dispute = found.disputes[0] ?? null;
      const blob = dispute ? await api.ownerPicture(dispute.image_pk) : null;
      const picture = blob ? await createImageBitmap(blob) : null;
      setQueue({ total: found.n_total, dispute, picture });
    } catch (error) {
      setProblem(sentence(error));
    }
  };
  useEffect(() => void load(0), []);
  useEffect(() => () => queue?.picture?.close(), [queue]);
  const settle = async (model: EditorModel, dispute: Dispute): Promise<void> => {
    try {
      await api.settle(dispute.image_pk, model.regions);
      announce("Settled");
      props.onChanged();
      await load(dispute.image_pk);
    } catch (error) {
      setProblem(sentence(error));
    }
  };
  const banner = problem && (
    <p class="banner bad" role="alert">
      {problem}
    </p>
  );
  if (!queue) return <>{banner || <p class="empty">Loading the queue ...</p>}</>;
  if (!queue.dispute || !queue.picture) {
    return (
      <section class="card wide">
        {banner}
        <h2>No disputes</h2>
        <p class="hint">People agree on every image that all of them have answered so far.</p>
      </section>
    );
  }
  return (
    <>
      {banner}
      <OneDispute
        key={queue.dispute.image_pk}
        dispute={queue.dispute}
        picture={queue.picture}
        total={queue.total}
        job={job}
        onSettle={settle}
        onSkip={(dispute) => void load(dispute.image_pk)}
      />
    </>
  );
}

function OneDispute(props: {
  dispute: Dispute;
  picture: ImageBitmap;
  total: number;
  job: Job;
  onSettle: (model: EditorModel, dispute: Dispute) => Promise<void>;
  onSkip: (dispute: Dispute) => void;
}): VNode {
  const { dispute, job } = props;
  const [hidden, setHidden] = useState<ReadonlySet<number>>(new Set());
  const [isBusy, setBusy] = useState(false);
  const model = useMemo(() => {
    const regions = dispute.merged.map((merged) => merged.region);
    return new EditorModel(regions, dispute, job.kinds[0] ?? "face");
  }, [dispute]);
  const overlays = useMemo(() => replicaOverlays(dispute, hidden), [dispute, hidden]);
  const notes = useMemo(() => voteNotes(dispute), [dispute]);
  const settle = (): void => {
    if (isBusy) return;
    setBusy(true);
    void props.onSettle(model, dispute).finally(() => setBusy(false));
  };
  const onCommand = (command: Command): void => {
    if (command.do === "next") props.onSkip(dispute);
  };
  const toggle = (index: number): void => {
    const next = new Set(hidden);
    if (!next.delete(index)) next.add(index);
    setHidden(next);
  };
  const nOpen = dispute.merged.filter((merged) => !merged.is_agreed).length;
  return (
    <div class="dispute">
      <div class="dispute-head">
        <h2>{dispute.image_id}</h2>
        <span class="tag">{plural(props.total, "dispute")} to settle</span>
        <span class="hint">
          {plural(nOpen, "proposed region")} without a quorum, out of {dispute.merged.length}
        </span>
      </div>
      <Editor
        model={model}
        picture={props.picture}
        kinds={job.kinds}
        overlays={overlays}
        notes={notes}
        onCommand={onCommand}
      >
        <fieldset class="replicas">
          <legend>Who drew what</legend>
          {dispute.replicas.map((replica, index) => (
            <label key={replica.name} class="check">
              <input type="checkbox" checked={!hidden.has(index)} onChange={() => toggle(index)} />
              <DashSample index={index} />
              {replica.name}
              <span class="hint">{plural(replica.regions.length, "box", "boxes")}</span>
            </label>
          ))}
          <p class="hint">
            The inner boxes are the proposal: edit it. Numbers say how many drew a box, where too
            few did.
          </p>
        </fieldset>
      </Editor>
      <div class="steps">
        <button type="button" onClick={() => props.onSkip(dispute)}>
          Later <kbd>D</kbd>
        </button>
        <button type="button" class="primary" disabled={isBusy} onClick={settle}>
          Settle and next
        </button>
      </div>
    </div>
  );
}

function DashSample({ index }: { index: number }): VNode {
  const { dash } = replicaStyle(index);
  return (
    <svg class={`sample replica-${(index % 6) + 1}`} viewBox="0 0 36 16" aria-hidden="true">
      <rect width="36" height="16" rx="3" class="sample-ground" />
      <line x1="3" x2="33" y1="8" y2="8" stroke-dasharray={dash.join(" ")} />
    </svg>
  );
}
