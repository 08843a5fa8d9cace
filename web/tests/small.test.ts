// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";

import type { Feedback, Person } from "../src/api/types";
import { feedbackOverlays } from "../src/editor/markings";
import { sortPeople } from "../src/owner/PeopleTable";
import { countTicks, timeTicks } from "../src/owner/ticks";
import { clock, interval, NOTHING, span } from "../src/ui/text";
import { leaseStep } from "../src/worker/LeaseWatch";

describe("the lease", () => {
  const hour = 3_600_000;
  it("is renewed while somebody works", () => {
    expect(leaseStep(0.5 * hour, hour, 1000)).toBe("renew");
    expect(leaseStep(0.9 * hour, hour, 1000)).toBe("wait");
  });
  it("is asked about before it ends when nobody is there, and then over", () => {
    expect(leaseStep(0.5 * hour, hour, 600_000)).toBe("wait");
    expect(leaseStep(200_000, hour, 600_000)).toBe("ask");
    expect(leaseStep(0, hour, 600_000)).toBe("over");
  });
  it("works for a lease of a minute too", () => {
    expect(leaseStep(30_000, 60_000, 1000)).toBe("renew");
    expect(leaseStep(11_000, 60_000, 59_000)).toBe("ask");
  });
});

describe("axes", () => {
  it("have round whole numbers that reach the top", () => {
    expect(countTicks(0)).toEqual([0, 1]);
    expect(countTicks(1)).toEqual([0, 1]);
    expect(countTicks(7, 4)).toEqual([0, 2, 4, 6, 8]);
    expect(countTicks(1234, 4)).toEqual([0, 500, 1000, 1500]);
  });
  it("have few moments, all inside", () => {
    const from = Date.UTC(2026, 0, 1, 9, 7);
    for (const minutes of [1, 7, 45, 600, 5000, 90_000]) {
      const to = from + minutes * 60_000;
      const ticks = timeTicks(from, to);
      expect(ticks.length).toBeLessThanOrEqual(7);
      expect(ticks.every((at) => at >= from && at <= to)).toBe(true);
    }
  });
});

describe("words", () => {
  it("for time", () => {
    expect(clock(59_001)).toBe("1:00");
    expect(clock(3_661_000)).toBe("1:01:01");
    expect(clock(-5)).toBe("0:00");
    expect([span(0), span(0.001), span(0.5), span(3.21), span(100)]).toEqual([
      "none",
      "1 min",
      "30 min",
      "3.21 h",
      "4.17 days",
    ]);
  });
  it("for what is not known yet", () => {
    expect(interval({ value: null, low: null, high: null, n: 0 })).toBe(NOTHING);
    expect(interval({ value: 1, low: 0.5, high: 2, n: 12 })).toContain("0.5 to 2");
  });
});

it("marks each problem once, with a shape of its own", () => {
  const region = (x: number) => ({ box_xyxy: [x, 0, x + 5, 5], kind: "face", source: null });
  const feedback: Feedback = {
    truth: [region(0), region(10)],
    problems: [
      { what: "missed", box_xyxy: [10, 0, 15, 5] },
      { what: "stray", box_xyxy: [50, 0, 55, 5] },
    ],
  };
  const marks = feedbackOverlays(feedback, [region(0), region(50)]);
  const at = (x: number) => marks.filter((mark) => mark.box[0] === x);
  expect(at(10)).toHaveLength(1);
  expect(at(10)[0]?.label).toBe("missed");
  expect(at(50)).toHaveLength(1);
  expect(at(50)[0]?.isCrossed).toBe(true);
  expect(at(0).map((mark) => mark.label)).toEqual([undefined, "\u2713"]);
});

it("sorts people with numbers in their names, and those without a value last", () => {
  const person = (name: string, value: number | null) =>
    ({ name, images_per_hour: value }) as unknown as Person;
  const people = [person("worker-10", 5), person("worker-9", null), person("worker-2", 7)];
  const names = (sorted: Person[]) => sorted.map((each) => each.name);
  expect(names(sortPeople(people, (p) => p.name, false))).toEqual([
    "worker-2",
    "worker-9",
    "worker-10",
  ]);
  expect(names(sortPeople(people, (p) => p.images_per_hour, true))).toEqual([
    "worker-2",
    "worker-10",
    "worker-9",
  ]);
});
