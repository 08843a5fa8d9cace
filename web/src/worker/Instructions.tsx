// SPDX-License-Identifier: Apache-2.0
import type { VNode } from "preact";
import { useState } from "preact/hooks";

import type { Job } from "../api/types";
import { KEY_HELP } from "../editor/keys";
import { Dialog } from "../ui/parts";
import { store, stored } from "../ui/theme";
import { plural } from "../ui/text";

const ESC_DELETES = "veilset-esc-deletes";

/** Whether Esc deletes the selected box, as on the page of the ImageNet face study. */
export function escDeletes(): boolean {
  return stored(ESC_DELETES) === "yes";
}

export function Instructions(props: { job: Job; hasGold: boolean; onClose: () => void }): VNode {
  const { job } = props;
  const [isOn, setOn] = useState(escDeletes);
  return (
    <Dialog title="Instructions" onClose={props.onClose} isWide>
      <p class="lead">{job.instructions}</p>
      <p>
        Look at each picture and correct its boxes: move them, change their size, delete wrong ones
        and draw what is missing. Then go to the next picture; your answer is saved as you go on.
        {props.hasGold &&
          ` A few pictures are known already, and their boxes are wrong on purpose. A wrong answer on
          one costs a life and shows you what was wrong. You have ${plural(job.lives, "life", "lives")};
          after the last one the batch starts again.`}
      </p>
      <div class="buttons">
        <button type="button" class="primary" onClick={props.onClose} autofocus>
          Start
        </button>
      </div>
      <h3>Keys, mouse and fingers</h3>
      <div class="scrolling" tabIndex={0} role="region" aria-label="List of keys">
        <table class="keys">
          <tbody>
            {KEY_HELP.map(([keys, what]) => (
              <tr key={keys}>
                <th scope="row">{keys}</th>
                <td>{what}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <label class="check">
        <input
          type="checkbox"
          checked={isOn}
          onChange={(event) => {
            setOn(event.currentTarget.checked);
            store(ESC_DELETES, event.currentTarget.checked ? "yes" : "no");
          }}
        />
        Esc deletes the selected box
      </label>
    </Dialog>
  );
}
