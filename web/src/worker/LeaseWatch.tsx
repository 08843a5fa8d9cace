// SPDX-License-Identifier: Apache-2.0
/** Holds the batch while somebody works, and warns before it is lost. */

import type { VNode } from "preact";
import { useEffect, useReducer, useState } from "preact/hooks";

import type { Api } from "../api/client";
import { Icon } from "../ui/parts";
import { clock } from "../ui/text";
import type { Session } from "./session";

/** Somebody who moved neither mouse nor finger for so long is taken to be away. */
const AWAY_MS = 120_000;

/** Warn when this is left, but never for more than a fifth of the lease. */
const WARN_MS = 300_000;

export type LeaseStep = "wait" | "renew" | "ask" | "over";

/** Say what to do about a lease; pure. */
export function leaseStep(leftMs: number, leaseMs: number, idleMs: number): LeaseStep {
  if (leftMs <= 0) return "over";
  if (idleMs < Math.min(AWAY_MS, leaseMs / 3) && leftMs < (leaseMs * 2) / 3) return "renew";
  return leftMs < Math.min(WARN_MS, leaseMs / 5) ? "ask" : "wait";
}

export type LeaseLeft = { readonly leftMs: number; readonly isAsking: boolean };

/** Renew the lease while somebody works; give what is left of it. */
export function useLease(session: Session, api: Api): LeaseLeft {
  const [, tick] = useReducer((n: number, _: undefined) => n + 1, 0);
  const leaseMs = session.job.lease_minutes * 60_000;
  const [isAsking, setAsking] = useState(false);
  useEffect(() => {
    let touched = performance.now();
    let asked = -Infinity;
    const touch = (): void => {
      touched = performance.now();
    };
    const look = (): void => {
      if (!session.batch) return;
      const now = performance.now();
      const left = session.expiresMs - api.now();
      const step = leaseStep(left, leaseMs, now - touched);
      tick(undefined);
      setAsking(step === "ask");
      // The server has the last word: it says whether the batch is lost.
      if ((step === "renew" || step === "over") && now - asked > 10_000) {
        asked = now;
        void session.renew();
      }
    };
    const timer = setInterval(look, 1000);
    const events = ["pointerdown", "pointermove", "keydown", "wheel"] as const;
    for (const name of events) document.addEventListener(name, touch, { passive: true });
    return () => {
      clearInterval(timer);
      for (const name of events) document.removeEventListener(name, touch);
    };
  }, [session, leaseMs]);
  return { leftMs: session.expiresMs - api.now(), isAsking };
}

export function LeaseClock({ leftMs }: LeaseLeft): VNode {
  return (
    <span class="lease" title="It grows while you work; then the batch goes back to others">
      <Icon name="clock" /> {clock(leftMs)}
      <span class="lease-text"> left</span>
    </span>
  );
}

export function LeaseBanner(props: { session: Session; lease: LeaseLeft }): VNode {
  return (
    <p class="banner warn" role="alert">
      <Icon name="clock" /> This batch goes back to others in{" "}
      <span aria-hidden="true">{clock(props.lease.leftMs)}</span>
      <span class="unseen">a short while</span>.
      <button type="button" onClick={() => void props.session.renew()}>
        I am still here
      </button>
    </p>
  );
}
