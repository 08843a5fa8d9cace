# SPDX-License-Identifier: Apache-2.0
"""Workers of Amazon Mechanical Turk do batches of a review job, for money.

AMAZON CLOSED MECHANICAL TURK FOR GOOD ON 30 SEPTEMBER 2026: its documentation says so at the
head of every page (https://docs.aws.amazon.com/AWSMechTurk/latest/AWSMturkAPI/Welcome.html).
What is here follows that documentation and boto3's model of the service; it was never run
against the service. It works with whatever speaks the same protocol (``endpoint_url``).

One HIT is one batch, done by one worker. Read in this order: ``cost`` (pure), ``account``
(the one border to Amazon), ``publish`` (HITs), ``entry`` (how a worker gets in), ``payment``.
"""
