// SPDX-License-Identifier: Apache-2.0
/** Signs in and shows the page of the role. */

import "./ui/tokens.css";
import "./ui/base.css";
import "./ui/editor.css";

import { type ComponentType, render, type VNode } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Api, ApiError, isPassing } from "./api/client";
import type { Me } from "./api/types";
import { Notice, sentence } from "./ui/parts";
import { startTheme } from "./ui/theme";
import { WorkerPage } from "./worker/WorkerPage";

type PageProps = { api: Api; me: Me; onSignOut: () => void };
type State =
  | { show: "wait" | "out" | "gone" }
  | { show: "error"; text: string; canRetry: boolean }
  | { show: "page"; me: Me };

const api = new Api();

/** Take the secret out of the address, so that it is neither seen nor kept in the history. */
function takeToken(): string | null {
  const found = /^#in=([\w-]+)$/.exec(location.hash);
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  return found?.[1] ?? null;
}

let token = takeToken();

async function enter(): Promise<State> {
  try {
    const me = token ? await api.signIn(token) : await api.me();
    token = null;
    return { show: "page", me };
  } catch (error) {
    if (error instanceof ApiError && error.status === 401 && !token) return { show: "out" };
    const canRetry = isPassing(error);
    if (!canRetry) token = null;
    return { show: "error", text: sentence(error), canRetry };
  }
}

function App(): VNode {
  const [state, setState] = useState<State>({ show: "wait" });
  const begin = (): void => {
    setState({ show: "wait" });
    void enter().then(setState);
  };
  useEffect(() => {
    begin();
    const onHash = (): void => {
      token = takeToken();
      if (token) begin();
    };
    window.addEventListener("hashchange", onHash);
    return () => window.removeEventListener("hashchange", onHash);
  }, []);
  const signOut = (): void => {
    void api
      .signOut()
      .then(() => setState({ show: "gone" }))
      .catch((error: unknown) =>
        setState({ show: "error", text: sentence(error), canRetry: true }),
      );
  };
  switch (state.show) {
    case "wait":
      return <Notice title="Veilset review">{<p aria-busy="true">One moment.</p>}</Notice>;
    case "out":
      return (
        <Notice title="Please sign in">{<p>Open the sign-in link that you were given.</p>}</Notice>
      );
    case "gone":
      return <Notice title="You are signed out">{<p>You can close this page.</p>}</Notice>;
    case "error":
      return (
        <Notice title="That did not work">
          <p role="alert">{state.text}</p>
          {state.canRetry && (
            <button type="button" class="primary" onClick={begin}>
              Try again
            </button>
          )}
        </Notice>
      );
    case "page":
      return state.me.role === "owner" ? (
        <Lazy api={api} me={state.me} onSignOut={signOut} />
      ) : (
        <WorkerPage api={api} me={state.me} onSignOut={signOut} />
      );
  }
}

/** The owner's page is a file of its own: workers never load it. */
function Lazy(props: PageProps): VNode {
  const [Page, setPage] = useState<ComponentType<PageProps> | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    import("./owner/OwnerPage").then(
      (module) => setPage(() => module.OwnerPage),
      () => setProblem("A part of the page did not come. Load the page again."),
    );
  }, []);
  if (Page) return <Page {...props} />;
  return <Notice title="Veilset review">{<p>{problem || "One moment."}</p>}</Notice>;
}

startTheme();
const root = document.getElementById("app");
if (root) render(<App />, root);
