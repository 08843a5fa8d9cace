// SPDX-License-Identifier: Apache-2.0
/** Short names for what travels; the shapes are generated from openapi.json (`npm run types`). */

import type { components } from "./schema";

type Schemas = components["schemas"];

export type Me = Schemas["Me"];
export type Job = Schemas["JobModel"];
export type Region = Schemas["RegionModel"];
export type Task = Schemas["TaskModel"];
export type Batch = Schemas["BatchModel"];
export type Work = Schemas["Work"];
export type Answer = Schemas["Answer"];
export type Outcome = Schemas["Outcome"];
export type Feedback = Schemas["Feedback"];
export type Problem = Schemas["ProblemModel"];
export type Submitted = Schemas["Submitted"];
export type Lease = Schemas["Lease"];
export type Estimate = Schemas["Estimate"];
export type CurvePoint = Schemas["CurvePoint"];
export type Overview = Schemas["Overview"];
export type Person = Schemas["PersonModel"];
export type People = Schemas["People"];
export type Invite = Schemas["Invite"];
export type Link = Schemas["Link"];
export type Links = Schemas["Links"];
export type Dispute = Schemas["Dispute"];
export type Disputes = Schemas["Disputes"];
export type Decision = Schemas["DecisionModel"];
export type Decisions = Schemas["Decisions"];
export type Agreement = Schemas["AgreementModel"];
export type Missed = Schemas["MissedModel"];
export type Sample = Schemas["SampleModel"];
export type Recapture = Schemas["RecaptureModel"];
