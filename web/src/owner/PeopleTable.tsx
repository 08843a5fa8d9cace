// SPDX-License-Identifier: Apache-2.0
import type { VNode } from "preact";
import { useState } from "preact/hooks";

import type { Api } from "../api/client";
import type { Estimate, Link, Person } from "../api/types";
import { Dialog, sentence } from "../ui/parts";
import { ago, interval, number, percent, plural } from "../ui/text";
import { InviteDialog, LinkList } from "./InviteDialog";

type Column = {
  readonly title: string;
  readonly value: (person: Person) => number | string | null;
  readonly show: (person: Person, now: number) => VNode | string;
  readonly isNumber?: boolean;
};

function estimated(estimate: Estimate): VNode {
  if (estimate.value === null) return <span class="none">nothing yet</span>;
  return (
    <>
      {percent(estimate.value)}
      <small>{interval(estimate, percent)}</small>
    </>
  );
}

const COLUMNS: readonly Column[] = [
  {
    title: "Name",
    value: (person) => person.name,
    show: (person) => (
      <>
        {person.name} {person.role !== "worker" && <span class="tag">{person.role}</span>}
        {person.is_revoked && <span class="tag bad">revoked</span>}
        {!person.has_signed_in && !person.is_revoked && <span class="tag">not yet here</span>}
      </>
    ),
  },
  {
    title: "Answers",
    value: (person) => person.n_answers,
    show: (person) => person.n_answers.toLocaleString("en"),
    isNumber: true,
  },
  {
    title: "Batches",
    value: (person) => person.n_batches,
    show: (person) => (
      <>
        {person.n_batches}
        {person.n_lost_batches > 0 && <small>{person.n_lost_batches} lost</small>}
      </>
    ),
    isNumber: true,
  },
  {
    title: "Images an hour",
    value: (person) => person.images_per_hour,
    show: (person) => (person.images_per_hour === null ? "\u2013" : number(person.images_per_hour)),
    isNumber: true,
  },
  {
    title: "Gold recall",
    value: (person) => person.gold_recall.value,
    show: (person) => estimated(person.gold_recall),
    isNumber: true,
  },
  {
    title: "Gold precision",
    value: (person) => person.gold_precision.value,
    show: (person) => estimated(person.gold_precision),
    isNumber: true,
  },
  {
    title: "Agreement",
    value: (person) => person.agreement.value,
    show: (person) => estimated(person.agreement),
    isNumber: true,
  },
  {
    title: "Last seen",
    value: (person) => person.last_seen_ms,
    show: (person, now) => (person.last_seen_ms === null ? "never" : ago(person.last_seen_ms, now)),
  },
];

/** Sort people by a column; whoever has no value comes last either way. */
export function sortPeople(
  people: readonly Person[],
  value: (person: Person) => number | string | null,
  isDown: boolean,
): Person[] {
  return [...people].sort((a, b) => {
    const [left, right] = [value(a), value(b)];
    if (left === null || right === null) return Number(left === null) - Number(right === null);
    const order =
      typeof left === "number" && typeof right === "number"
        ? left - right
        : String(left).localeCompare(String(right), "en", { numeric: true });
    return isDown ? -order : order;
  });
}

type Asked = { show: "invite" } | { show: "revoke"; person: Person } | { show: "link"; link: Link };

export function PeopleTable(props: {
  api: Api;
  people: readonly Person[];
  onChanged: () => void;
}): VNode {
  const { api, people, onChanged } = props;
  const [sorted, setSorted] = useState({ column: 0, isDown: false });
  const [asked, setAsked] = useState<Asked | null>(null);
  const [problem, setProblem] = useState("");
  const column = COLUMNS[sorted.column] ?? COLUMNS[0];
  const rows = column ? sortPeople(people, column.value, sorted.isDown) : people;
  const close = (): void => setAsked(null);
  const act = (work: Promise<unknown>): void => {
    setProblem("");
    work.then(onChanged, (error: unknown) => setProblem(sentence(error)));
  };
  return (
    <section class="card wide" aria-label="People">
      <div class="card-head">
        <h2>{plural(people.length, "person", "people")}</h2>
        <button type="button" class="primary" onClick={() => setAsked({ show: "invite" })}>
          Invite people
        </button>
      </div>
      {problem && (
        <p class="banner bad" role="alert">
          {problem}
        </p>
      )}
      <div class="table-room" tabIndex={0} role="region" aria-label="Table of people">
        <table class="people">
          <thead>
            <tr>
              {COLUMNS.map((each, index) => {
                const isHere = index === sorted.column;
                return (
                  <th
                    key={each.title}
                    scope="col"
                    class={each.isNumber ? "number" : ""}
                    aria-sort={isHere ? (sorted.isDown ? "descending" : "ascending") : "none"}
                  >
                    <button
                      type="button"
                      class="sort"
                      onClick={() =>
                        setSorted({ column: index, isDown: isHere ? !sorted.isDown : false })
                      }
                    >
                      {each.title}
                      <span aria-hidden="true">
                        {isHere ? (sorted.isDown ? " \u2193" : " \u2191") : ""}
                      </span>
                    </button>
                  </th>
                );
              })}
              <th scope="col">
                <span class="unseen">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((person) => (
              <PersonRow
                key={person.person_id}
                person={person}
                onLink={() =>
                  act(
                    api.newLink(person.person_id).then((link) => setAsked({ show: "link", link })),
                  )
                }
                onRevoke={() => setAsked({ show: "revoke", person })}
              />
            ))}
          </tbody>
        </table>
      </div>
      {asked?.show === "invite" && <InviteDialog api={api} onClose={close} onInvited={onChanged} />}
      {asked?.show === "link" && (
        <Dialog title={`A new link for ${asked.link.name}`} onClose={close}>
          <LinkList links={[asked.link]} />
          <div class="buttons">
            <button type="button" class="primary" onClick={close}>
              Done
            </button>
          </div>
        </Dialog>
      )}
      {asked?.show === "revoke" && (
        <Dialog title={`Send ${asked.person.name} away?`} onClose={close}>
          <p>
            Their session and their batch end at once, and their link stops working. What they
            answered stays.
          </p>
          <div class="buttons">
            <button type="button" onClick={close} autofocus>
              Keep
            </button>
            <button
              type="button"
              class="danger"
              onClick={() => {
                act(api.revoke(asked.person.person_id));
                close();
              }}
            >
              Revoke access
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}

function PersonRow(props: { person: Person; onLink: () => void; onRevoke: () => void }): VNode {
  const { person } = props;
  const now = Date.now();
  return (
    <tr class={person.is_revoked ? "revoked" : ""}>
      {COLUMNS.map((column, index) =>
        index === 0 ? (
          <th key={column.title} scope="row">
            {column.show(person, now)}
          </th>
        ) : (
          <td key={column.title} class={column.isNumber ? "number" : ""}>
            {column.show(person, now)}
          </td>
        ),
      )}
      <td class="actions">
        {!person.is_revoked && person.role !== "owner" && (
          <>
            <button
              type="button"
              class="small"
              aria-label={`New link for ${person.name}`}
              onClick={props.onLink}
            >
              New link
            </button>
            <button
              type="button"
              class="small"
              aria-label={`Revoke access of ${person.name}`}
              onClick={props.onRevoke}
            >
              Revoke
            </button>
          </>
        )}
      </td>
    </tr>
  );
}
