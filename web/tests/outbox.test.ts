// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";

import { ApiError, NetworkError } from "../src/api/client";
import { type Letter, Outbox } from "../src/api/outbox";
import type { Outcome } from "../src/api/types";

const saved: Outcome = { outcome: "saved", lives: 2, expires_ms: 0, feedback: null, batch: null };
const letter = (taskId: number, nonce = `nonce-${taskId}`): Letter => ({
  taskId,
  answer: { attempt: 1, nonce, seconds: 1, regions: [] },
});

type Reply = Outcome | Error;

function make(replies: Reply[]) {
  const sent: string[] = [];
  const waits: number[] = [];
  const outcomes: number[] = [];
  const refused: number[] = [];
  const outbox = new Outbox({
    send: async (_taskId, answer) => {
      sent.push(answer.nonce);
      const reply = replies.shift() ?? saved;
      if (reply instanceof Error) throw reply;
      return reply;
    },
    onOutcome: ({ taskId }) => outcomes.push(taskId),
    onRefused: ({ taskId }) => refused.push(taskId),
    onChange: () => undefined,
    wait: async (ms) => {
      waits.push(ms);
    },
  });
  return { outbox, sent, waits, outcomes, refused };
}

describe("the outbox", () => {
  it("sends in order and tries again under the same nonce", async () => {
    const { outbox, sent, waits, outcomes } = make([
      new NetworkError("away"),
      new ApiError(503, "", "busy"),
    ]);
    outbox.put(letter(1));
    outbox.put(letter(2));
    await outbox.empty();
    expect(sent).toEqual(["nonce-1", "nonce-1", "nonce-1", "nonce-2"]);
    expect(outcomes).toEqual([1, 2]);
    expect(waits).toEqual([500, 1000]);
  });

  it("waits as long as the server asks", async () => {
    const { outbox, waits } = make([new ApiError(429, "", "slow down", 7)]);
    outbox.put(letter(1));
    await outbox.empty();
    expect(waits).toEqual([7000]);
  });

  it("gives up what was refused, and only that", async () => {
    const { outbox, outcomes, refused } = make([new ApiError(422, "", "bad drawing")]);
    outbox.put(letter(1));
    outbox.put(letter(2));
    await outbox.empty();
    expect(refused).toEqual([1]);
    expect(outcomes).toEqual([2]);
  });

  it("drops an older answer to the same image that has not left", async () => {
    const { outbox, sent } = make([]);
    outbox.put(letter(1));
    outbox.put(letter(2, "old"));
    outbox.put(letter(2, "new"));
    await outbox.empty();
    expect(sent).toEqual(["nonce-1", "new"]);
  });

  it("ignores what comes back after it was cleared", async () => {
    const { outbox, outcomes } = make([]);
    outbox.put(letter(1));
    outbox.clear();
    await outbox.empty();
    expect(outcomes).toEqual([]);
  });
});
