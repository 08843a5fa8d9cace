// SPDX-License-Identifier: Apache-2.0
/**
 * Answers on their way to the server: sent one after another, tried again while the network
 * is away, under the same nonce so that none counts twice.
 */

import { ApiError, isPassing } from "./client";
import type { Answer, Outcome } from "./types";

export type Letter = { readonly taskId: number; readonly answer: Answer };
export type OutboxState = { readonly waiting: number; readonly isTrying: boolean };

type Ports = {
  send: (taskId: number, answer: Answer) => Promise<Outcome>;
  /** An answer arrived; what follows waits until this is done. */
  onOutcome: (letter: Letter, outcome: Outcome) => void;
  /** An answer was refused for good. */
  onRefused: (letter: Letter, error: unknown) => void;
  onChange: (state: OutboxState) => void;
  wait?: (ms: number) => Promise<void>;
};

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

export class Outbox {
  private letters: Letter[] = [];
  private isBusy = false;
  private isTrying = false;
  private idle: (() => void)[] = [];
  private wake: (() => void) | null = null;

  constructor(private readonly ports: Ports) {}

  get waiting(): number {
    return this.letters.length;
  }

  has(taskId: number): boolean {
    return this.letters.some((letter) => letter.taskId === taskId);
  }

  /** Send an answer; an older one of the same image that has not left yet is dropped. */
  put(letter: Letter): void {
    const [leaving, ...rest] = this.letters;
    const kept = rest.filter((each) => each.taskId !== letter.taskId);
    this.letters = leaving ? [leaving, ...kept, letter] : [letter];
    this.tell();
    void this.work();
  }

  /** Forget everything that has not left: the batch began anew or is lost. */
  clear(): void {
    this.letters = [];
    this.tell();
    this.wake?.();
  }

  /** Try again at once: the network is back, or the person asked. */
  hurry(): void {
    this.wake?.();
  }

  /** Wait until nothing is on its way. */
  async empty(): Promise<void> {
    if (this.letters.length === 0 && !this.isBusy) return;
    await new Promise<void>((done) => this.idle.push(done));
  }

  private async work(): Promise<void> {
    if (this.isBusy) return;
    this.isBusy = true;
    let pause = FIRST_WAIT_MS;
    for (let letter = this.letters[0]; letter; letter = this.letters[0]) {
      try {
        const outcome = await this.ports.send(letter.taskId, letter.answer);
        pause = FIRST_WAIT_MS;
        if (this.drop(letter)) this.ports.onOutcome(letter, outcome);
      } catch (error) {
        if (isPassing(error)) {
          const asked = error instanceof ApiError ? (error.retryAfterS ?? 0) * 1000 : 0;
          await this.rest(Math.max(pause, asked));
          pause = Math.min(pause * 2, LONGEST_WAIT_MS);
        } else if (this.drop(letter)) {
          this.ports.onRefused(letter, error);
        }
      }
    }
    this.isBusy = false;
    this.tell();
    for (const done of this.idle.splice(0)) done();
  }

  /** Take a letter off the pile; false if it was cleared meanwhile. */
  private drop(letter: Letter): boolean {
    this.isTrying = false;
    if (this.letters[0] !== letter) return false;
    this.letters = this.letters.slice(1);
    this.tell();
    return true;
  }

  private async rest(ms: number): Promise<void> {
    this.isTrying = true;
    this.tell();
    const woken = new Promise<void>((done) => (this.wake = done));
    await Promise.race([(this.ports.wait ?? sleep)(ms), woken]);
    this.wake = null;
  }

  private tell(): void {
    this.ports.onChange({ waiting: this.letters.length, isTrying: this.isTrying });
  }
}
