// SPDX-License-Identifier: Apache-2.0
import type { VNode } from "preact";

import type { Missed, Recapture, Sample } from "../api/types";
import { NOTHING, percent, plural } from "../ui/text";
import { Figure } from "./Figure";

/** What is still missed: by the experts' sample, and by how often people found the same. */
export function MissedFigures({ missed }: { missed: Missed | null }): VNode {
  if (!missed) return <p class="empty">{NOTHING}</p>;
  return (
    <>
      <SampleFigures sample={missed.sample} />
      {missed.recapture.map((each) => (
        <RecaptureFigures key={each.n_people} found={each} />
      ))}
    </>
  );
}

function SampleFigures({ sample: s }: { sample: Sample }): VNode {
  if (s.n_drawn === 0) {
    return (
      <p class="hint">
        No random sample was drawn for experts yet. On the command line:{" "}
        <code>veilset review audit-sample --n 500</code>
      </p>
    );
  }
  return (
    <>
      <dl class="figures">
        <Figure label="Images that miss a face, before" estimate={s.images_before} show={percent} />
        <Figure label="Images that miss a face, after" estimate={s.images_after} show={percent} />
        <Figure label="Missed faces of an image, before" estimate={s.regions_before} />
        <Figure label="Missed faces of an image, after" estimate={s.regions_after} />
      </dl>
      <p class="hint">
        Of {plural(s.n_drawn, "image")} of the random sample, experts finished{" "}
        {s.n_by_expert.toLocaleString("en")}; {s.n_settled.toLocaleString("en")} of those are
        settled. {scopeOf(s)}
      </p>
    </>
  );
}

function scopeOf(sample: Sample): string {
  if (sample.drawn_from === null) {
    return "It was drawn in parts from different categories, and speaks for itself only.";
  }
  if (sample.drawn_from.length === 0) return "";
  return `It was drawn from ${sample.drawn_from.join(", ")}, and speaks for these only.`;
}

function RecaptureFigures({ found }: { found: Recapture }): VNode {
  const people = plural(found.n_people, "person", "people");
  return (
    <dl class="figures">
      <Figure
        label={`Faces to add, where ${people} looked`}
        estimate={found.regions}
        hint={
          `They added ${found.n_seen.toLocaleString("en")} on ` +
          `${plural(found.n_images, "image")}; there are at least so many, ` +
          "by how often they found the same"
        }
      />
    </dl>
  );
}
