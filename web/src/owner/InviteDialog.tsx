// SPDX-License-Identifier: Apache-2.0
import type { VNode } from "preact";
import { useState } from "preact/hooks";

import type { Api } from "../api/client";
import type { Link } from "../api/types";
import { announce } from "../ui/announce";
import { Dialog, Icon, sentence } from "../ui/parts";
import { plural } from "../ui/text";

export function LinkList({ links }: { links: readonly Link[] }): VNode {
  const [copied, setCopied] = useState("");
  const copy = async (what: string, text: string): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(what);
      announce("Copied");
    } catch {
      announce("The browser does not let this page copy. Select the text instead.", true);
    }
  };
  const all = links.map((link) => `${link.name}\t${link.url}`).join("\n");
  return (
    <>
      <p class="banner warn">
        Shown only now: copy {links.length === 1 ? "it" : "them"} before you close this. Each link
        signs in once.
      </p>
      <ul class="links" tabIndex={0} aria-label="Sign-in links">
        {links.map((link) => (
          <li key={link.person_id}>
            <strong>{link.name}</strong>
            <code>{link.url}</code>
            <button
              type="button"
              class="small"
              aria-label={`Copy the link of ${link.name}`}
              onClick={() => void copy(link.name, link.url)}
            >
              <Icon name={copied === link.name ? "check" : "copy"} />
              {copied === link.name ? "Copied" : "Copy"}
            </button>
          </li>
        ))}
      </ul>
      {links.length > 1 && (
        <div>
          <button type="button" onClick={() => void copy("all", all)}>
            <Icon name={copied === "all" ? "check" : "copy"} />
            {copied === "all" ? "Copied" : `Copy all ${links.length}`}
          </button>
        </div>
      )}
    </>
  );
}

export function InviteDialog(props: {
  api: Api;
  onClose: () => void;
  onInvited: () => void;
}): VNode {
  const [n, setN] = useState(1);
  const [role, setRole] = useState<"worker" | "expert">("worker");
  const [days, setDays] = useState(7);
  const [links, setLinks] = useState<readonly Link[]>([]);
  const [problem, setProblem] = useState("");
  const invite = async (event: Event): Promise<void> => {
    event.preventDefault();
    setProblem("");
    try {
      setLinks((await props.api.invite({ n, role, hours: days * 24 })).links);
      props.onInvited();
    } catch (error) {
      setProblem(sentence(error));
    }
  };
  if (links.length > 0) {
    const title = `${plural(links.length, "sign-in link")}`;
    return (
      <Dialog title={title} onClose={props.onClose} isWide isForced>
        <LinkList links={links} />
        <div class="buttons">
          <button type="button" class="primary" onClick={props.onClose}>
            Done
          </button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title="Invite people" onClose={props.onClose}>
      <form class="form" onSubmit={(event) => void invite(event)}>
        <label>
          How many
          <input
            type="number"
            min={1}
            max={1000}
            required
            value={n}
            onInput={(event) => setN(event.currentTarget.valueAsNumber)}
          />
        </label>
        <label>
          What they do
          <select
            value={role}
            onChange={(event) =>
              setRole(event.currentTarget.value === "expert" ? "expert" : "worker")
            }
          >
            <option value="worker">Correct batches, with gold among them</option>
            <option value="expert">Look at the audit sample, without gold</option>
          </select>
        </label>
        <label>
          The links last, days
          <input
            type="number"
            min={1}
            max={90}
            required
            value={days}
            onInput={(event) => setDays(event.currentTarget.valueAsNumber)}
          />
        </label>
        {problem && (
          <p class="banner bad" role="alert">
            {problem}
          </p>
        )}
        <div class="buttons">
          <button type="button" onClick={props.onClose}>
            Cancel
          </button>
          <button type="submit" class="primary">
            Make links
          </button>
        </div>
      </form>
    </Dialog>
  );
}
