// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, it, vi } from "vitest";

import { type Api, ApiError } from "../src/api/client";
import type { Answer, Batch, Job, Outcome } from "../src/api/types";
import { Session } from "../src/worker/session";

const job: Job = { name: "j", kinds: ["face"], instructions: "", lives: 2, lease_minutes: 60 };

function batch(attempt = 1, first = 1): Batch {
  const tasks = [0, 1, 2].map((place) => ({
    task_id: first + place,
    position: place,
    width: 100,
    height: 100,
    is_answered: false,
    is_closed: false,
    regions: [{ box_xyxy: [0, 0, 10, 10], kind: "face", source: 0 }],
  }));
  return { batch_id: 5, attempt, max_attempts: 3, lives: 2, expires_ms: 1000, tasks };
}

const saved: Outcome = {
  outcome: "saved",
  lives: 2,
  expires_ms: 2000,
  feedback: null,
  batch: null,
};
const feedback = { truth: [], problems: [] };

class FakeApi {
  work: Batch | null = batch();
  outcomes: (Outcome | Error)[] = [];
  answers: { taskId: number; answer: Answer }[] = [];
  reason = "no-work";
  takeBatch = async () => ({ batch: this.work, reason: this.work ? "" : this.reason });
  picture = async () => new Blob();
  submit = async () => ({ n_images: 3 });
  answer = async (taskId: number, answer: Answer): Promise<Outcome> => {
    this.answers.push({ taskId, answer });
    const outcome = this.outcomes.shift() ?? saved;
    if (outcome instanceof Error) throw outcome;
    return outcome;
  };
}

function start(api: FakeApi): { session: Session; pass: (ms: number) => void } {
  let now = 1;
  let n = 0;
  const session = new Session(
    api as unknown as Api,
    job,
    () => now,
    () => `nonce-${++n}`,
  );
  return { session, pass: (ms) => (now += ms) };
}

const settled = () => new Promise((done) => setTimeout(done, 5));

beforeEach(() => {
  vi.stubGlobal("createImageBitmap", async () => ({ close: () => undefined }));
});

describe("a session", () => {
  it("goes through a batch and hands it in", async () => {
    const api = new FakeApi();
    const { session, pass } = start(api);
    await session.start();
    for (const ms of [1000, 2000, 3000]) {
      pass(ms);
      session.next();
    }
    await settled();
    expect(session.stage).toBe("checking");
    expect(api.answers.map((each) => each.answer.seconds)).toEqual([1, 2, 3]);
    await session.submit();
    expect(session.stage).toBe("submitted");
    expect(session.batch).toBeNull();
  });

  it("sends an image again only if it was changed", async () => {
    const api = new FakeApi();
    const { session } = start(api);
    await session.start();
    session.next();
    session.previous();
    session.next();
    await settled();
    expect(api.answers).toHaveLength(1);
    session.previous();
    if (session.task) session.model(session.task).add([20, 20, 30, 30]);
    expect(session.isUnsaved).toBe(true);
    session.next();
    await settled();
    expect(api.answers.map((each) => each.answer.regions.length)).toEqual([1, 2]);
    expect(session.isUnsaved).toBe(false);
  });

  it("does not answer an image by going back from it", async () => {
    const api = new FakeApi();
    const { session } = start(api);
    await session.start();
    session.next();
    session.previous();
    await settled();
    expect(api.answers.map((each) => each.taskId)).toEqual([1]);
  });

  it("goes on where the person was", async () => {
    const api = new FakeApi();
    const known = batch();
    const [first] = known.tasks;
    if (first) first.is_answered = true;
    api.work = known;
    const { session } = start(api);
    await session.start();
    expect(session.position).toBe(1);
  });

  it("shows what was wrong, closes the image and keeps the other work", async () => {
    const api = new FakeApi();
    api.outcomes = [{ ...saved, outcome: "life-lost", lives: 1, feedback }];
    const { session } = start(api);
    await session.start();
    session.next();
    if (session.task) session.model(session.task).add([20, 20, 30, 30]);
    await settled();
    expect(session.verdict?.task.task_id).toBe(1);
    expect(session.lives).toBe(1);
    session.closeVerdict();
    expect(session.position).toBe(1);
    expect(session.task && session.model(session.task).items).toHaveLength(2);
    const [closed] = session.tasks;
    expect(closed && session.model(closed).isReadOnly).toBe(true);
  });

  it("begins anew with the batch that the server gives", async () => {
    const api = new FakeApi();
    api.outcomes = [{ ...saved, outcome: "restarted", feedback, batch: batch(2, 11) }];
    const { session } = start(api);
    await session.start();
    session.next();
    session.next();
    await settled();
    session.closeVerdict();
    expect(session.batch?.attempt).toBe(2);
    expect(session.position).toBe(0);
    session.next();
    await settled();
    expect(api.answers.at(-1)).toMatchObject({ taskId: 11, answer: { attempt: 2 } });
  });

  it("sends nothing more of an attempt that is over while the person is told why", async () => {
    const api = new FakeApi();
    api.outcomes = [{ ...saved, outcome: "restarted", feedback, batch: batch(2, 11) }];
    const { session } = start(api);
    await session.start();
    session.next();
    await settled();
    session.next();
    await settled();
    expect(api.answers).toHaveLength(1);
    session.closeVerdict();
    expect(session.batch?.attempt).toBe(2);
  });

  it("shows two mistakes one after the other", async () => {
    const api = new FakeApi();
    const lost = { ...saved, outcome: "life-lost" as const, feedback };
    api.outcomes = [lost, lost];
    const { session } = start(api);
    await session.start();
    session.next();
    session.next();
    await settled();
    expect(session.verdict?.task.task_id).toBe(1);
    session.closeVerdict();
    expect(session.verdict?.task.task_id).toBe(2);
    session.closeVerdict();
    expect(session.verdict).toBeNull();
  });

  it("clears the page when the batch is lost or the person signed out", async () => {
    for (const [status, stage] of [
      [409, "lost"],
      [404, "lost"],
      [401, "signed-out"],
    ] as const) {
      const api = new FakeApi();
      api.outcomes = [new ApiError(status, "", "no")];
      const { session } = start(api);
      await session.start();
      session.next();
      await settled();
      expect(session.stage).toBe(stage);
      expect(session.tasks).toHaveLength(0);
    }
  });

  it("keeps an answer that was refused as not saved, and says why", async () => {
    const api = new FakeApi();
    api.outcomes = [new ApiError(422, "", "Box 1 is wrong.")];
    const { session } = start(api);
    await session.start();
    session.next();
    await settled();
    const [first] = session.tasks;
    expect(first && session.isAnswered(first)).toBe(false);
    expect(session.problem).toBe("Box 1 is wrong.");
  });

  it("says why there is no work", async () => {
    for (const reason of ["no-work", "blocked", "finished"]) {
      const api = new FakeApi();
      api.work = null;
      api.reason = reason;
      const { session } = start(api);
      await session.start();
      expect(session.stage).toBe(reason);
    }
  });
});
