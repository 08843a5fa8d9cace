// SPDX-License-Identifier: Apache-2.0
import type { VNode } from "preact";

import type { Me } from "../api/types";
import { Icon, ThemeSwitch } from "../ui/parts";
import { plural } from "../ui/text";
import { LeaseBanner, LeaseClock, type LeaseLeft } from "./LeaseWatch";
import type { Session } from "./session";

export function TopBar(props: {
  session: Session;
  me: Me;
  lease: LeaseLeft;
  onHelp: () => void;
  onSignOut: () => void;
}): VNode {
  const { session, me, lease } = props;
  const n = session.tasks.length;
  const isAtWork = n > 0;
  const nDone = session.tasks.filter((task) => session.isAnswered(task)).length;
  return (
    <header>
      <div class="top">
        <span class="brand">Veilset</span>
        {isAtWork && (
          <div class="progress">
            <span class="now">
              Image <strong>{session.position + 1}</strong> of {n}
            </span>
            <progress max={n} value={nDone} aria-label={`${nDone} of ${n} images saved`} />
          </div>
        )}
        {isAtWork && me.role === "worker" && <Lives left={session.lives} all={me.job.lives} />}
        {isAtWork && <Saved session={session} />}
        {isAtWork && <LeaseClock {...lease} />}
        <span class="spacer" />
        <span class="who" title="You are signed in under this name">
          {me.name}
        </span>
        {isAtWork && (
          <button
            type="button"
            class="quiet icon-only"
            onClick={props.onHelp}
            title="Instructions and keys (?)"
            aria-label="Instructions and keys (?)"
          >
            <Icon name="help" />
          </button>
        )}
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
      </div>
      {isAtWork && lease.isAsking && <LeaseBanner session={session} lease={lease} />}
      {isAtWork && session.problem && (
        <p class="banner bad" role="alert">
          {session.problem}
        </p>
      )}
    </header>
  );
}

function Lives({ left, all }: { left: number; all: number }): VNode {
  const hearts = Array.from({ length: Math.max(all, left) }, (_, index) => (
    <Icon key={index} name="heart" filled={index < left} />
  ));
  const text = `${left} of ${plural(all, "life", "lives")} left`;
  return (
    <span class="lives" role="img" aria-label={text} title={text}>
      {all > 5 ? <Icon name="heart" filled /> : hearts}
      <span aria-hidden="true">{left}</span>
    </span>
  );
}

function Saved({ session }: { session: Session }): VNode {
  const { waiting, isTrying } = session.outgoing;
  if (isTrying) {
    return (
      <span class="saved bad" role="status">
        <Icon name="cloud" /> Not saved yet: {plural(waiting, "image")}
        <button type="button" class="link" onClick={() => session.hurry()}>
          Try now
        </button>
      </span>
    );
  }
  return (
    <span class="saved" role="status">
      <Icon name={waiting > 0 ? "cloud" : "check"} />
      <span class="saved-text">{waiting > 0 ? "Saving" : "Saved"}</span>
    </span>
  );
}
