// SPDX-License-Identifier: Apache-2.0
import "./owner.css";

import type { VNode } from "preact";
import { useState } from "preact/hooks";

import { type Api, ApiError } from "../api/client";
import type { Me } from "../api/types";
import { Icon, sentence, ThemeSwitch } from "../ui/parts";
import { Dashboard } from "./Dashboard";
import { Disputes } from "./Disputes";
import { History } from "./History";
import { PeopleTable } from "./PeopleTable";
import { usePolled } from "./polled";

type View = "overview" | "people" | "disputes" | "history";

const VIEWS: readonly (readonly [View, string])[] = [
  ["overview", "Overview"],
  ["people", "People"],
  ["disputes", "Disputes"],
  ["history", "Decisions"],
];

/** How often the figures are asked for anew while the page is in sight. */
const REFRESH_MS = 15_000;

/** The same for figures for which the server compares drawings, a second's work. */
const SLOW_REFRESH_MS = 60_000;

function isSignedOut(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}

export function OwnerPage(props: { api: Api; me: Me; onSignOut: () => void }): VNode {
  const { api, me } = props;
  const [view, setView] = useState<View>("overview");
  const overview = usePolled(() => api.overview(), REFRESH_MS);
  const people = usePolled(() => api.people(), REFRESH_MS, view === "people");
  const agreement = usePolled(() => api.agreement(), SLOW_REFRESH_MS, view === "overview");
  const missed = usePolled(() => api.missed(), SLOW_REFRESH_MS, view === "overview");
  const peopleChanged = (): void => {
    people.refresh();
    overview.refresh();
  };
  const shown = view === "people" ? [overview, people] : [overview, agreement, missed];
  const problem = shown.map((each) => each.error).find((error) => error !== null);
  const nDisputed = overview.value?.n_disputed ?? 0;
  const isLoading =
    (view === "overview" && !overview.value) || (view === "people" && !people.value);
  return (
    <div class={view === "disputes" ? "page owner full" : "page owner"}>
      <header class="top">
        <span class="brand">Veilset</span>
        <h1 class="job">{me.job.name}</h1>
        <nav class="tabs" aria-label="Pages">
          {VIEWS.map(([name, label]) => (
            <button
              key={name}
              type="button"
              class="quiet"
              aria-current={view === name ? "page" : undefined}
              onClick={() => setView(name)}
            >
              {label}
              {name === "disputes" && nDisputed > 0 && <span class="tag">{nDisputed}</span>}
            </button>
          ))}
        </nav>
        <span class="spacer" />
        <ThemeSwitch />
        <button
          type="button"
          class="quiet icon-only"
          onClick={props.onSignOut}
          title="Sign out"
          aria-label="Sign out"
        >
          <Icon name="out" />
        </button>
      </header>
      <main class="content">
        {problem !== undefined && (
          <p class="banner bad" role="alert">
            {isSignedOut(problem)
              ? "You are signed out. Open a new sign-in link."
              : sentence(problem)}
          </p>
        )}
        {view === "disputes" && <Disputes api={api} job={me.job} onChanged={overview.refresh} />}
        {view === "history" && <History api={api} onChanged={overview.refresh} />}
        {view === "people" && people.value && (
          <PeopleTable api={api} people={people.value.people} onChanged={peopleChanged} />
        )}
        {view === "overview" && overview.value && (
          <Dashboard overview={overview.value} agreement={agreement.value} missed={missed.value} />
        )}
        {isLoading && problem === undefined && <p class="empty">Loading ...</p>}
      </main>
    </div>
  );
}
