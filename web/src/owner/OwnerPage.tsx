// SPDX-License-Identifier: Apache-2.0
import "./owner.css";

import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";

import { type Api, ApiError } from "../api/client";
import type { Agreement, Me, Overview, Person } from "../api/types";
import { Icon, sentence, ThemeSwitch } from "../ui/parts";
import { Dashboard } from "./Dashboard";
import { Disputes } from "./Disputes";
import { History } from "./History";
import { PeopleTable } from "./PeopleTable";

type View = "overview" | "people" | "disputes" | "history";
type Loaded = { overview: Overview; people: readonly Person[]; agreement: Agreement };

const VIEWS: readonly (readonly [View, string])[] = [
  ["overview", "Overview"],
  ["people", "People"],
  ["disputes", "Disputes"],
  ["history", "Decisions"],
];

/** How often the figures are asked for anew while the page is in sight. */
const REFRESH_MS = 15_000;

export function OwnerPage(props: { api: Api; me: Me; onSignOut: () => void }): VNode {
  const { api, me } = props;
  const [view, setView] = useState<View>("overview");
  const [loaded, setLoaded] = useState<Loaded | null>(null);
  const [problem, setProblem] = useState("");
  const refresh = async (): Promise<void> => {
    try {
      const [overview, people, agreement] = await Promise.all([
        api.overview(),
        api.people(),
        api.agreement(),
      ]);
      setLoaded({ overview, people: people.people, agreement });
      setProblem("");
    } catch (error) {
      const isOut = error instanceof ApiError && error.status === 401;
      setProblem(isOut ? "You are signed out. Open a new sign-in link." : sentence(error));
    }
  };
  useEffect(() => {
    void refresh();
    const timer = setInterval(() => {
      if (!document.hidden) void refresh();
    }, REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  const nDisputed = loaded?.overview.n_disputed ?? 0;
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
        {problem && (
          <p class="banner bad" role="alert">
            {problem}
          </p>
        )}
        {view === "disputes" && (
          <Disputes api={api} job={me.job} onChanged={() => void refresh()} />
        )}
        {view === "history" && <History api={api} onChanged={() => void refresh()} />}
        {view === "people" && loaded && (
          <PeopleTable api={api} people={loaded.people} onChanged={() => void refresh()} />
        )}
        {view === "overview" && loaded && (
          <Dashboard overview={loaded.overview} agreement={loaded.agreement} />
        )}
        {!loaded && !problem && <p class="empty">Loading ...</p>}
      </main>
    </div>
  );
}
