// SPDX-License-Identifier: Apache-2.0
import type { VNode } from "preact";

import type { Agreement, Missed, Overview } from "../api/types";
import { NOTHING, percent, plural, span } from "../ui/text";
import { Curves } from "./Curve";
import { Figure } from "./Figure";
import { MissedFigures } from "./MissedFigures";

export function Dashboard(props: {
  overview: Overview;
  agreement: Agreement | null;
  missed: Missed | null;
}): VNode {
  const { overview: o, agreement, missed } = props;
  return (
    <div class="dashboard">
      <Progress overview={o} />
      <section class="card" aria-label="Advice">
        <h2>Go on or stop?</h2>
        <p class="advice">{o.advice || NOTHING}</p>
        {o.n_answers === 0 && (
          <p class="hint">
            Whoever looks at images, you too, needs a link of their own: Invite people, under
            People.
          </p>
        )}
        {o.n_disputed > 0 && (
          <p class="hint">
            {plural(o.n_disputed, "image")} {o.n_disputed === 1 ? "waits" : "wait"} under Disputes
            for your word.
          </p>
        )}
        <dl class="figures">
          <Figure
            label="Missed regions found a minute"
            estimate={o.found_per_minute}
            hint="On the images answered lately"
          />
          <Figure
            label="Expected a minute"
            estimate={o.expected_per_minute}
            hint="On the images that come next"
          />
          <Figure label="Open images that miss one" estimate={o.missed_left} show={percent} />
        </dl>
      </section>
      <section class="card" aria-label="Speed">
        <h2>Speed</h2>
        <dl class="figures">
          <Figure label="Images an hour" estimate={o.images_per_hour} />
          <Figure label="Time left" estimate={o.hours_left} show={span} />
          <Figure
            label="Seconds on an image"
            estimate={o.median_seconds}
            hint="Half of them took less"
          />
        </dl>
      </section>
      <section class="card wide" aria-label="Course">
        <h2>Course</h2>
        <Curves curve={o.curve} />
      </section>
      <section class="card wide" aria-label="Agreement">
        <h2>Agreement</h2>
        <AgreementFigures agreement={agreement} />
      </section>
      <section class="card wide" aria-label="Still missed">
        <h2>Still missed</h2>
        <MissedFigures missed={missed} />
      </section>
    </div>
  );
}

function Progress({ overview: o }: { overview: Overview }): VNode {
  const share = o.n_images ? o.n_settled / o.n_images : 0;
  const counts: readonly (readonly [string, number])[] = [
    ["Settled", o.n_settled],
    ["Disputed", o.n_disputed],
    ["Open", o.n_open],
    ["Unreadable", o.n_unreadable],
    ["Gold", o.n_gold],
  ];
  return (
    <section class="card wide" aria-label="Progress">
      <h2>Progress</h2>
      <div class="progress-line">
        <span class="value">{percent(share)}</span>
        <progress
          max={Math.max(1, o.n_images)}
          value={o.n_settled}
          aria-label={`${o.n_settled} of ${o.n_images} images settled`}
        />
        <span class="hint">
          {o.n_settled.toLocaleString("en")} of {plural(o.n_images, "image")} settled
        </span>
      </div>
      <dl class="counts">
        {counts.map(([label, n]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{n.toLocaleString("en")}</dd>
          </div>
        ))}
        <div>
          <dt>Answers</dt>
          <dd>
            {o.n_answers.toLocaleString("en")}
            <small> of {o.n_answers_wanted.toLocaleString("en")}</small>
          </dd>
        </div>
        <div>
          <dt>People</dt>
          <dd>
            {o.n_people.toLocaleString("en")}
            <small> {o.n_active.toLocaleString("en")} at work</small>
          </dd>
        </div>
      </dl>
      <p class="hint">
        Of {plural(o.regions_before, "region")} so far: {o.regions_moved.toLocaleString("en")}{" "}
        moved, {o.regions_deleted.toLocaleString("en")} deleted;{" "}
        {o.regions_added.toLocaleString("en")} added.
      </p>
    </section>
  );
}

function AgreementFigures({ agreement }: { agreement: Agreement | null }): VNode {
  if (!agreement || agreement.n_images === 0) return <p class="empty">{NOTHING}</p>;
  return (
    <>
      <dl class="figures">
        <Figure label="Mean F1 of two people" estimate={agreement.overall} show={percent} />
        {Object.entries(agreement.by_size).map(([size, estimate]) => (
          <Figure
            key={size}
            label={`Regions of ${size}\u00a0px`}
            estimate={estimate}
            show={percent}
          />
        ))}
      </dl>
      <p class="hint">On {plural(agreement.n_images, "image")} that several people answered.</p>
    </>
  );
}
