# SPDX-License-Identifier: Apache-2.0
"""The one border to Amazon's services: credentials, patience, and whose fault an error is.

boto3 is imported when a client is opened, not before. Messages name the code of an error
and never Amazon's own words: those hold account numbers and user names, and messages end
up in records that are published.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

from veilset.errors import ConfigError, MissingExtraError, RunError

T = TypeVar("T")

BUSY = frozenset(
    "InternalFailure InternalServerError ProvisionedThroughputExceededException "
    "RequestLimitExceeded RequestTimeout RequestTimeoutException ServiceFault "
    "ServiceUnavailable ServiceUnavailableException SlowDown Throttling ThrottlingException "
    "TooManyRequestsException".split()
)
"""Codes that say: ask again later. So does every HTTP status from 500 on."""

REFUSED = frozenset(
    "AccessDenied AccessDeniedException AuthFailure ExpiredToken ExpiredTokenException "
    "IncompleteSignature InvalidClientTokenId InvalidSignatureException "
    "MissingAuthenticationToken MissingAuthenticationTokenException NotAuthorized OptInRequired "
    "SignatureDoesNotMatch SubscriptionRequiredException UnrecognizedClientException".split()
)
"""Codes that say: this account may not, whatever is asked."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a busy service is waited for, on top of botocore's own retries.

    Attributes:
        attempts: Tries of botocore for one question, the first among them.
        rounds: How often the question is put again after that.
        first_s: Pause before the first of these, doubled each time: seconds.
        mode: Of botocore's retries: ``adaptive`` slows down to what the quota bears.
    """

    attempts: int = 6
    rounds: int = 5
    first_s: float = 2.0
    mode: str = "adaptive"


def open_client(
    service: str,
    *,
    purpose: str,
    region: str | None = None,
    endpoint_url: str | None = None,
    connections: int = 10,
    patience: Patience | None = None,
) -> Any:
    """Open a client of one of Amazon's services with the credentials of this machine.

    Args:
        service: Name as boto3 knows it.
        purpose: What needs it, for messages: ``The detector 'rekognition'``.
        region: Region to use; None for that of the machine's AWS settings.
        endpoint_url: Address to use in the place of Amazon's.
        connections: How many threads will use the client at the same time.
        patience: How often botocore tries; None for the default.

    Raises:
        MissingExtraError: If boto3 is not installed.
        ConfigError: If there are no credentials or no region, or they cannot be used.
    """
    boto3, exceptions = _import_boto3(purpose)
    patience = patience or Patience()
    config = importlib.import_module("botocore.config").Config(
        retries={"mode": patience.mode, "total_max_attempts": patience.attempts},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=connections,
    )
    try:
        session = boto3.session.Session(region_name=region)
        if not session.region_name:
            raise ConfigError(
                f"{purpose} needs an AWS region, and none is set. Set one, for example with: "
                "export AWS_DEFAULT_REGION=eu-west-1"
            )
        if session.get_credentials() is None:
            raise ConfigError(
                f"{purpose} needs AWS credentials, and this machine has none. Run 'aws configure', "
                "or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        return session.client(service, config=config, endpoint_url=endpoint_url)
    except (exceptions.BotoCoreError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"{purpose} cannot use the AWS settings of this machine ({type(error).__name__}). "
            "Check AWS_PROFILE, the files in ~/.aws and the endpoint."
        ) from error


def ask(
    question: Callable[[], T],
    *,
    service: str,
    patience: Patience,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Put a question to a service, again after a pause while it is busy.

    A question that must not be answered twice (a payment) has to carry its own token.

    Args:
        question: Calls the client.
        service: Name for messages.
        patience: How long to wait.
        sleep: Waits for so many seconds.

    Raises:
        RunError: If the service stays busy or out of reach, or refuses the account: the
            next question would fare the same.
        botocore.exceptions.ClientError: If it refuses this one question.
    """
    exceptions = importlib.import_module("botocore.exceptions")
    pause_s = patience.first_s
    for left in range(patience.rounds, -1, -1):
        try:
            return question()
        except exceptions.ParamValidationError:
            raise
        except (exceptions.ClientError, exceptions.BotoCoreError) as error:
            trouble = _trouble(error, exceptions)
            if trouble == "this question":
                raise
            if trouble == "the account" or not left:
                raise _stopped(service, error, trouble) from error
            sleep(pause_s)
            pause_s *= 2
    raise RunError(f"{service} was never asked. Give a patience of at least 0 rounds.")


def code_of(error: Exception) -> str:
    """Give the code of a service's error, "" if it has none."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _trouble(error: Exception, exceptions: ModuleType) -> str:
    """Say whom an error is about: ``this question``, ``the account`` or ``the service``."""
    if isinstance(error, exceptions.ClientError):
        code = code_of(error)
        response: Any = getattr(error, "response", {})
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in BUSY or status >= 500 or status == 429:
            return "the service"
        return "the account" if code in REFUSED else "this question"
    is_line = isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError)
    return "the service" if is_line else "the account"


def _stopped(service: str, error: Exception, trouble: str) -> RunError:
    code = code_of(error) or type(error).__name__
    if trouble == "the account":
        return RunError(
            f"{service} refuses this AWS account ({code}). Check its credentials and permissions, "
            "then run the same command again: it goes on from here."
        )
    return RunError(
        f"{service} cannot be reached, or stays busy ({code}). Check the network, the region and "
        "the quota of the account, then run the same command again: it goes on from here."
    )


def _import_boto3(purpose: str) -> tuple[ModuleType, ModuleType]:
    try:
        return importlib.import_module("boto3"), importlib.import_module("botocore.exceptions")
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose} needs boto3, which is not installed. Install it with: "
            "pip install 'veilset[aws]'"
        ) from error
