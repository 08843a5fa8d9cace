// SPDX-License-Identifier: Apache-2.0
/** Talks to the server: one method for each thing that can be asked. */

import type * as T from "./types";

/** The server said no, in a sentence. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** After how many seconds to try again, where the server said so. */
    readonly retryAfterS: number | null = null,
  ) {
    super(message);
  }
}

/** Nothing came back: no network, or no server. Trying again may help. */
export class NetworkError extends Error {}

/** Whether the same request may well succeed later. */
export function isPassing(error: unknown): boolean {
  if (error instanceof NetworkError) return true;
  return error instanceof ApiError && (error.status === 429 || error.status >= 500);
}

export class Api {
  private csrf = "";
  /** How far the server's clock is ahead of ours, milliseconds. */
  private ahead = 0;

  /** The server's time now, milliseconds since 1970; good to about a second. */
  now(): number {
    return Date.now() + this.ahead;
  }

  async signIn(token: string): Promise<T.Me> {
    return this.remember(await this.json<T.Me>("POST", "api/session", { token }));
  }

  async me(): Promise<T.Me> {
    return this.remember(await this.json<T.Me>("GET", "api/me"));
  }

  private remember(me: T.Me): T.Me {
    this.csrf = me.csrf;
    return me;
  }

  async signOut(): Promise<void> {
    await this.send("DELETE", "api/session");
  }

  takeBatch(): Promise<T.Work> {
    return this.json("POST", "api/batch");
  }

  renew(batchId: number): Promise<T.Lease> {
    return this.json("POST", `api/batch/${batchId}/renew`);
  }

  async release(batchId: number): Promise<void> {
    await this.send("POST", `api/batch/${batchId}/release`);
  }

  submit(batchId: number): Promise<T.Submitted> {
    return this.json("POST", `api/batch/${batchId}/submit`);
  }

  answer(taskId: number, answer: T.Answer): Promise<T.Outcome> {
    return this.json("POST", `api/tasks/${taskId}/answer`, answer);
  }

  async picture(taskId: number, signal?: AbortSignal): Promise<Blob> {
    return (await this.send("GET", `api/tasks/${taskId}/image`, undefined, signal)).blob();
  }

  async ownerPicture(imagePk: number): Promise<Blob> {
    return (await this.send("GET", `api/owner/images/${imagePk}/image`)).blob();
  }

  overview(): Promise<T.Overview> {
    return this.json("GET", "api/owner/overview");
  }

  people(): Promise<T.People> {
    return this.json("GET", "api/owner/people");
  }

  agreement(): Promise<T.Agreement> {
    return this.json("GET", "api/owner/agreement");
  }

  missed(): Promise<T.Missed> {
    return this.json("GET", "api/owner/missed");
  }

  invite(invite: T.Invite): Promise<T.Links> {
    return this.json("POST", "api/owner/invites", invite);
  }

  newLink(personId: number): Promise<T.Link> {
    return this.json("POST", `api/owner/people/${personId}/link`);
  }

  async revoke(personId: number): Promise<void> {
    await this.send("POST", `api/owner/people/${personId}/revoke`);
  }

  disputes(after: number, limit: number): Promise<T.Disputes> {
    return this.json("GET", `api/owner/disputes?after=${after}&limit=${limit}`);
  }

  settle(imagePk: number, regions: T.Region[]): Promise<T.Decision> {
    return this.json("POST", `api/owner/disputes/${imagePk}`, { regions });
  }

  decisions(limit: number): Promise<T.Decisions> {
    return this.json("GET", `api/owner/decisions?limit=${limit}`);
  }

  async undoDecision(decisionId: number): Promise<void> {
    await this.send("POST", `api/owner/decisions/${decisionId}/undo`);
  }

  async addGold(imagePk: number): Promise<void> {
    await this.send("POST", "api/owner/gold", { image_pk: imagePk });
  }

  private async json<R>(method: string, path: string, body?: unknown): Promise<R> {
    return (await (await this.send(method, path, body)).json()) as R;
  }

  private async send(
    method: string,
    path: string,
    body?: unknown,
    signal?: AbortSignal,
  ): Promise<Response> {
    const headers: Record<string, string> = {};
    if (method !== "GET" && this.csrf) headers["X-CSRF-Token"] = this.csrf;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const asked: RequestInit = { method, headers, credentials: "same-origin", cache: "no-store" };
    if (body !== undefined) asked.body = JSON.stringify(body);
    if (signal) asked.signal = signal;
    let response: Response;
    try {
      response = await fetch(path, asked);
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new NetworkError("The server cannot be reached.");
    }
    const date = Date.parse(response.headers.get("Date") ?? "");
    if (Number.isFinite(date)) this.ahead = date - Date.now();
    if (!response.ok) throw await refusal(response);
    return response;
  }
}

async function refusal(response: Response): Promise<ApiError> {
  const after = Number(response.headers.get("Retry-After"));
  const retry = Number.isFinite(after) && after > 0 ? after : null;
  let detail = `The server answered ${response.status}.`;
  let code = "";
  try {
    const problem = (await response.json()) as { detail?: unknown; code?: unknown };
    if (typeof problem.detail === "string") detail = problem.detail;
    if (typeof problem.code === "string") code = problem.code;
  } catch {
    // A proxy in between may answer in HTML; the status says enough.
  }
  return new ApiError(response.status, code, detail, retry);
}
