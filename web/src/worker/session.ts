// SPDX-License-Identifier: Apache-2.0
/** A worker's way through a batch, without any page: what is where, saved, lost, finished. */

import type { Api } from "../api/client";
import { ApiError, isPassing } from "../api/client";
import { type Letter, Outbox, type OutboxState } from "../api/outbox";
import type { Batch, Feedback, Job, Outcome, Region, Task } from "../api/types";
import { EditorModel } from "../editor/model";
import { Pictures } from "./pictures";

export type Stage =
  | "loading"
  | "working"
  | "checking"
  | "no-work"
  | "blocked"
  | "lost"
  | "submitted"
  | "signed-out"
  | "failed"
  | "finished";

/** What a wrong answer on a gold image brought, with what is needed to show it. */
export type Verdict = {
  readonly outcome: "life-lost" | "restarted" | "batch-lost";
  readonly task: Task;
  readonly drawn: readonly Region[];
  readonly feedback: Feedback;
  readonly lives: number;
  readonly batch: Batch | null;
  readonly picture: ImageBitmap;
};

/** Pictures before and after the present one that are kept ready. */
const BEHIND = 1;
const AHEAD = 3;

export class Session {
  stage: Stage = "loading";
  batch: Batch | null = null;
  position = 0;
  lives = 0;
  expiresMs = 0;
  outgoing: OutboxState = { waiting: 0, isTrying: false };
  /** Why the last action failed, in a sentence. */
  problem = "";
  nSubmitted = 0;
  private verdicts: Verdict[] = [];
  /** The attempt is over on the server, and the person is still told why: nothing more is sent. */
  private isOver = false;
  private models = new Map<number, EditorModel>();
  /** What of each image the server has, or will have once the outbox is empty. */
  private sent = new Map<number, readonly Region[]>();
  private closed = new Set<number>();
  private spentMs = new Map<number, number>();
  private since = 0;
  private readonly outbox: Outbox;
  readonly pictures: Pictures;
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly api: Api,
    readonly job: Job,
    private readonly now: () => number = () => performance.now(),
    private readonly nonce: () => string = () => crypto.randomUUID(),
  ) {
    this.pictures = new Pictures((taskId) => api.picture(taskId));
    this.outbox = new Outbox({
      send: (taskId, answer) => api.answer(taskId, answer),
      onOutcome: (letter, outcome) => void this.take(letter, outcome),
      onRefused: (letter, error) => this.refused(letter, error),
      onChange: (state) => {
        this.outgoing = state;
        this.tell();
      },
    });
  }

  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private tell(): void {
    for (const listener of [...this.listeners]) listener();
  }

  get tasks(): readonly Task[] {
    return this.batch?.tasks ?? [];
  }

  /** What the person must be told next. */
  get verdict(): Verdict | null {
    return this.verdicts[0] ?? null;
  }

  get task(): Task | undefined {
    return this.tasks[this.position];
  }

  /** The boxes of an image, as they stand on this page. */
  model(task: Task): EditorModel {
    const known = this.models.get(task.task_id);
    if (known) return known;
    const kind = this.job.kinds[0] ?? "face";
    const regions = this.sent.get(task.task_id) ?? task.regions;
    const made = new EditorModel(regions, task, kind, this.isClosed(task));
    this.models.set(task.task_id, made);
    return made;
  }

  isClosed(task: Task): boolean {
    return task.is_closed || this.closed.has(task.task_id);
  }

  isAnswered(task: Task): boolean {
    return this.sent.has(task.task_id);
  }

  /** Whether something on this page has not reached the server. */
  get isUnsaved(): boolean {
    return this.outgoing.waiting > 0 || this.tasks.some((task) => this.isChanged(task));
  }

  private isChanged(task: Task): boolean {
    const model = this.models.get(task.task_id);
    if (!model || this.isClosed(task)) return false;
    const known = this.sent.get(task.task_id);
    return known ? !sameRegions(known, model.regions) : model.canUndo;
  }

  /** Take the batch that the person holds, or a new one. */
  async start(): Promise<void> {
    await this.attempt(async () => {
      const work = await this.api.takeBatch();
      if (work.batch) this.open(work.batch);
      else this.clear(work.reason || "no-work");
    });
  }

  private open(batch: Batch): void {
    this.reset();
    this.closed.clear();
    this.spentMs.clear();
    this.batch = batch;
    this.lives = batch.lives;
    this.expiresMs = batch.expires_ms;
    this.sent = new Map(
      batch.tasks.filter((task) => task.is_answered).map((task) => [task.task_id, task.regions]),
    );
    const first = batch.tasks.findIndex((task) => !task.is_answered);
    this.stage = "working";
    this.goTo(first === -1 ? batch.tasks.length - 1 : first);
  }

  private clear(stage: Stage): void {
    this.reset();
    this.batch = null;
    this.sent.clear();
    this.pictures.keep([]);
    this.stage = stage;
    this.tell();
  }

  private reset(): void {
    this.outbox.clear();
    this.models.clear();
    this.verdicts = [];
    this.isOver = false;
  }

  /** Show another image. Nothing is sent: `next` does that. */
  goTo(position: number): void {
    this.countTime();
    this.position = Math.min(Math.max(position, 0), Math.max(0, this.tasks.length - 1));
    this.stage = "working";
    const near = this.tasks.slice(Math.max(0, this.position - BEHIND), this.position + AHEAD + 1);
    // A picture whose answer is under way may be needed to show what was wrong with it.
    const waiting = this.tasks.filter((task) => this.outbox.has(task.task_id));
    const ids = [this.task, ...near, ...waiting].flatMap((task) => (task ? [task.task_id] : []));
    this.pictures.keep(ids);
    this.tell();
  }

  /** Save this image and show the one that follows; after the last one, the summary. */
  next(): void {
    if (!this.task) return;
    this.save(this.task);
    if (this.position + 1 < this.tasks.length) this.goTo(this.position + 1);
    else void this.check();
  }

  previous(): void {
    if (this.stage === "checking") this.goTo(this.position);
    else if (this.position > 0) this.goTo(this.position - 1);
  }

  /** Show the summary, once everything changed was sent. */
  async check(): Promise<void> {
    for (const task of this.tasks) if (this.isChanged(task)) this.save(task);
    const missing = this.tasks.findIndex((task) => !this.isAnswered(task));
    if (missing !== -1) {
      this.goTo(missing);
      return;
    }
    this.countTime();
    this.stage = "checking";
    this.tell();
    await this.outbox.empty();
  }

  private save(task: Task): void {
    if (this.isClosed(task) || this.isOver || !this.batch) return;
    const regions = this.model(task).regions;
    const known = this.sent.get(task.task_id);
    if (known && sameRegions(known, regions)) return;
    this.countTime();
    const seconds = Math.min(86_400, (this.spentMs.get(task.task_id) ?? 0) / 1000);
    const answer = {
      attempt: this.batch.attempt,
      nonce: this.nonce(),
      seconds: Math.round(seconds * 10) / 10,
      regions,
    };
    this.sent.set(task.task_id, regions);
    this.outbox.put({ taskId: task.task_id, answer });
  }

  /** Add the time since the last call to the image in sight; a hidden page does not count. */
  countTime(isSeen = true): void {
    const now = this.now();
    const task = this.stage === "working" ? this.task : undefined;
    if (task && isSeen && this.since > 0) {
      this.spentMs.set(task.task_id, (this.spentMs.get(task.task_id) ?? 0) + now - this.since);
    }
    this.since = now;
  }

  private async take(letter: Letter, outcome: Outcome): Promise<void> {
    const task = this.tasks.find((each) => each.task_id === letter.taskId);
    this.lives = outcome.lives;
    this.expiresMs = Math.max(this.expiresMs, outcome.expires_ms);
    this.problem = "";
    if (outcome.outcome === "saved" || !task || !outcome.feedback) {
      this.tell();
      return;
    }
    this.closed.add(letter.taskId);
    // Seen again, the image cannot be changed: its model is made anew, to be looked at only.
    this.models.delete(letter.taskId);
    if (outcome.outcome !== "life-lost") {
      this.outbox.clear();
      this.isOver = true;
    }
    try {
      this.verdicts.push({
        outcome: outcome.outcome,
        task,
        drawn: letter.answer.regions,
        feedback: outcome.feedback,
        lives: outcome.lives,
        batch: outcome.batch ?? null,
        picture: await this.pictures.get(letter.taskId),
      });
      this.tell();
    } catch {
      // Without the picture there is nothing to show, but the outcome stands.
      this.follow(outcome.outcome, outcome.batch ?? null);
    }
  }

  /** The person has seen what was wrong. */
  closeVerdict(): void {
    const verdict = this.verdicts.shift();
    if (verdict) this.follow(verdict.outcome, verdict.batch);
  }

  private follow(outcome: string, batch: Batch | null): void {
    if (outcome === "restarted" && batch) {
      this.pictures.keep([]);
      this.open(batch);
    } else if (outcome === "batch-lost") {
      this.clear("failed");
    } else {
      this.tell();
    }
  }

  private refused(letter: Letter, error: unknown): void {
    this.sent.delete(letter.taskId);
    this.fail(error);
  }

  private fail(error: unknown): void {
    this.problem = error instanceof Error ? error.message : String(error);
    if (error instanceof ApiError) {
      if (error.status === 401) this.clear("signed-out");
      if (error.status === 409 || error.status === 404) this.clear("lost");
    }
    this.tell();
  }

  private async attempt(work: () => Promise<void>): Promise<void> {
    this.problem = "";
    try {
      await work();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Hold the batch longer. */
  async renew(): Promise<void> {
    const batch = this.batch;
    if (!batch) return;
    await this.attempt(async () => {
      this.expiresMs = (await this.api.renew(batch.batch_id)).expires_ms;
      this.tell();
    });
  }

  /** Give the batch back; its images go to others. */
  async release(): Promise<void> {
    const batch = this.batch;
    if (!batch) return;
    await this.attempt(async () => {
      await this.api.release(batch.batch_id);
      this.clear("lost");
    });
  }

  async submit(): Promise<void> {
    const batch = this.batch;
    if (!batch) return;
    await this.attempt(async () => {
      await this.outbox.empty();
      if (this.stage !== "checking" || this.verdict) return;
      this.nSubmitted = (await this.api.submit(batch.batch_id)).n_images;
      this.clear("submitted");
    });
  }

  /** Try again what waits for the network. */
  hurry(): void {
    this.outbox.hurry();
  }

  /** A picture did not come. */
  pictureFailed(error: unknown): void {
    if (isPassing(error)) this.problem = "The picture did not come. Check the network.";
    else this.fail(error);
    this.tell();
  }
}

function sameRegions(a: readonly Region[], b: readonly Region[]): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
