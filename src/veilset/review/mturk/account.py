# SPDX-License-Identifier: Apache-2.0
"""The one border to Mechanical Turk: a requester's account, in the sandbox unless told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from veilset.aws import Patience, ask, code_of, open_client
from veilset.errors import ReviewError, RunError
from veilset.review.mturk.cost import CLOSED

SANDBOX = "https://mturk-requester-sandbox.us-east-1.amazonaws.com"
PRODUCTION = "https://mturk-requester.us-east-1.amazonaws.com"
REGION = "us-east-1"  # the only one there was


class Account:
    """A requester's account. Every question to Amazon goes through ``ask``.

    Attributes:
        is_sandbox: Whether nothing is real.

    Args:
        client: Client of boto3 for ``mturk``.
        is_sandbox: Whether the client speaks to the sandbox.
        patience: How long a busy service is waited for.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        client: Any,
        *,
        is_sandbox: bool,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.is_sandbox = is_sandbox
        self._client = client
        self._patience = patience or Patience()
        self._sleep = sleep

    def ask(self, operation: str, **given: Any) -> dict[str, Any]:
        """Ask Amazon; again while it is busy.

        Whatever costs money carries a ``UniqueRequestToken``, or can be done once only.

        Args:
            operation: Name of a method of the client.
            given: Its parameters.

        Raises:
            RunError: If Amazon cannot be reached, stays busy, or refuses the account.
            TurkRefusedError: If it refuses this one question.
        """
        method = getattr(self._client, operation)
        try:
            answer: dict[str, Any] = ask(
                lambda: method(**given),
                service="Mechanical Turk",
                patience=self._patience,
                sleep=self._sleep,
            )
        except RunError as error:
            raise RunError(f"{error} {CLOSED}") from error
        except self._client.exceptions.ClientError as error:
            raise TurkRefusedError(operation, error) from error
        return answer

    def pages(self, operation: str, key: str, **given: Any) -> Iterator[dict[str, Any]]:
        """Go through the items of a list that comes in pages."""
        token: dict[str, str] = {}
        while True:
            answer = self.ask(operation, MaxResults=100, **given, **token)
            yield from answer.get(key, ())
            if not answer.get("NextToken") or not answer.get(key):
                return
            token = {"NextToken": answer["NextToken"]}

    def balance_cents(self) -> int:
        """Give what the account holds, in cents, rounded down.

        Raises:
            ReviewError: If Amazon gives no amount.
        """
        said = self.ask("get_account_balance").get("AvailableBalance", "")
        try:
            return int(Decimal(said) * 100)
        except (InvalidOperation, ValueError) as error:
            raise ReviewError(f"Mechanical Turk says the balance is {said!r}.") from error


class TurkRefusedError(ReviewError):
    """Mechanical Turk refuses one question.

    Attributes:
        operation: What was asked.
        code: Amazon's short code for the reason (``AWS.MechanicalTurk.HITAlreadyExists``).
    """

    def __init__(self, operation: str, error: Exception) -> None:
        response: Any = getattr(error, "response", None) or {}
        self.operation = operation
        self.code = str(response.get("TurkErrorCode") or code_of(error))
        super().__init__(
            f"Mechanical Turk refuses {operation} ({self.code}). Look at the HIT on the "
            "requester's site."
        )

    def __reduce__(self) -> str | tuple[Any, ...]:
        return ReviewError, (str(self),)

    @property
    def is_repeated(self) -> bool:
        """Whether the same was asked before, with the same token."""
        return "already" in self.code.lower() or "duplicate" in self.code.lower()


def open_account(
    *,
    is_production: bool = False,
    endpoint_url: str | None = None,
    patience: Patience | None = None,
) -> Account:
    """Open the requester's account of this machine's AWS credentials.

    Args:
        is_production: Real workers and real money; the sandbox otherwise.
        endpoint_url: Address of another service of the same protocol.
        patience: How long a busy service is waited for.

    Raises:
        MissingExtraError, ConfigError: If boto3 or credentials are missing.
    """
    client = open_client(
        "mturk",
        purpose="Mechanical Turk",
        region=REGION,
        endpoint_url=endpoint_url or (PRODUCTION if is_production else SANDBOX),
        patience=patience,
    )
    return Account(client, is_sandbox=not is_production, patience=patience)
