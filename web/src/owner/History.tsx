// SPDX-License-Identifier: Apache-2.0
import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";

import type { Api } from "../api/client";
import type { Decision } from "../api/types";
import { announce } from "../ui/announce";
import { sentence } from "../ui/parts";
import { ago, plural } from "../ui/text";

const WORDS: Record<Decision["kind"], string> = {
  single: "one answer",
  agreed: "agreed",
  disputed: "disputed",
  adjudicated: "settled by hand",
};

/** All decisions, newest first; each can be taken back. */
export function History(props: { api: Api; onChanged: () => void }): VNode {
  const { api } = props;
  const [decisions, setDecisions] = useState<readonly Decision[] | null>(null);
  const [problem, setProblem] = useState("");
  const load = (): Promise<void> =>
    api.decisions(200).then((found) => setDecisions(found.decisions));
  const act = (work: Promise<unknown>, says: string): void => {
    setProblem("");
    work
      .then(load)
      .then(() => {
        announce(says);
        props.onChanged();
      })
      .catch((error: unknown) => setProblem(sentence(error)));
  };
  useEffect(() => act(Promise.resolve(), ""), []);
  return (
    <section class="card wide" aria-label="Decisions">
      <h2>Decisions</h2>
      {problem && (
        <p class="banner bad" role="alert">
          {problem}
        </p>
      )}
      {decisions?.length === 0 && <p class="empty">No decision yet.</p>}
      {decisions && decisions.length > 0 && (
        <div class="table-room" tabIndex={0} role="region" aria-label="Table of decisions">
          <table>
            <thead>
              <tr>
                <th scope="col">Image</th>
                <th scope="col">Decision</th>
                <th scope="col" class="number">
                  Regions
                </th>
                <th scope="col">By</th>
                <th scope="col">When</th>
                <th scope="col">
                  <span class="unseen">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {decisions.map((decision) => (
                <DecisionRow
                  key={decision.decision_id}
                  decision={decision}
                  onUndo={() => act(api.undoDecision(decision.decision_id), "Decision undone")}
                  onGold={() =>
                    act(api.addGold(decision.image_pk), `${decision.image_id} is gold now`)
                  }
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function DecisionRow(props: { decision: Decision; onUndo: () => void; onGold: () => void }): VNode {
  const { decision } = props;
  const isSettled = decision.kind !== "disputed" && !decision.is_undone;
  return (
    <tr class={decision.is_undone ? "revoked" : ""}>
      <th scope="row">{decision.image_id}</th>
      <td>
        {WORDS[decision.kind]} {decision.is_undone && <span class="tag">undone</span>}
      </td>
      <td class="number">{plural(decision.n_regions, "region")}</td>
      <td>{decision.by}</td>
      <td>{ago(decision.made_ms, Date.now())}</td>
      <td class="actions">
        {isSettled && (
          <>
            <button
              type="button"
              class="small"
              aria-label={`Undo the decision on ${decision.image_id}`}
              onClick={props.onUndo}
            >
              Undo
            </button>
            <button
              type="button"
              class="small"
              aria-label={`Use as gold: ${decision.image_id}`}
              onClick={props.onGold}
            >
              Use as gold
            </button>
          </>
        )}
      </td>
    </tr>
  );
}
