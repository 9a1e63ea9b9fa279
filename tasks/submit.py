"""Submit a Ray job, follow it, and end with its driver's own exit code.

``ray job submit`` ends with 1 whatever the driver's code was, and with 0 if the job was stopped. A scheduler that
decides by exit code needs the real one. Nothing secret goes into the job: its command and its runtime environment can
be read by everybody who can reach the dashboard.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raypipe.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

__all__ = ["DEFAULT_ADDRESS", "Submission", "submit"]

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
#: What a stopped job counts as: it was sent SIGTERM.
STOPPED = 143
#: Seconds between two looks at a job whose log has ended.
POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Submission:
    """What to submit.

    Attributes
    ----------
    entrypoint
        The words of the command.
    address
        Of the dashboard, ``http://host:port``; RAY_API_SERVER_ADDRESS or this machine's if None.
    working_dir
        Folder that is uploaded and in which the command runs; None where the image has everything.
    submission_id
        A name of your own, which a second submission cannot take; None lets Ray choose.
    wait
        Whether to follow the job to its end.
    """

    entrypoint: Sequence[str]
    address: str | None = None
    working_dir: str | None = None
    submission_id: str | None = None
    wait: bool = True


def submit(wish: Submission, *, say: Callable[[str], None], output: Callable[[str], None]) -> int:
    """Submit a job and, unless told otherwise, follow it to its end.

    Parameters
    ----------
    wish
        What to submit.
    say
        Takes lines about the submission.
    output
        Takes the job's own output, in pieces.

    Returns
    -------
    The exit code of the job's driver; 143 if the job was stopped, 128 + n if a signal n ended it, 1 if it failed
    before there was a driver, 0 if nobody waits.

    Raises
    ------
    UsageError
        If the submission id is taken or the working folder cannot be sent.
    ClusterError
        If the dashboard cannot be reached or refuses.
    """
    address = wish.address or os.environ.get("RAY_API_SERVER_ADDRESS") or DEFAULT_ADDRESS
    with _cluster_errors(address):
        client = _client(address)
        job = _start(client, wish)
    say(f"job {job} submitted to {address}; stop it with: ray job stop --address {address} {job}")
    if not wish.wait:
        return 0
    with _cluster_errors(address):
        _follow(client, job, output)
        return _exit_code(client, job, say)


def _client(address: str) -> JobSubmissionClient:
    # Ray lets this variable override the address that it is given.
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    _use_token_if_there_is_one()
    from ray.job_submission import JobSubmissionClient

    for name in ("dashboard_sdk", "job.sdk"):  # they set their own level when they are imported
        logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.ERROR)
    return JobSubmissionClient(address)


def _use_token_if_there_is_one() -> None:
    """The client sends a token only if it is told to, even where `ray.init` would use it unasked."""
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    if os.environ.get("RAY_AUTH_TOKEN") or file.is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _start(client: JobSubmissionClient, wish: Submission) -> str:
    environment: dict[str, Any] = {"working_dir": wish.working_dir} if wish.working_dir else {}
    try:
        return str(
            client.submit_job(
                entrypoint=shlex.join(wish.entrypoint), submission_id=wish.submission_id, runtime_env=environment
            )
        )
    except (ValueError, RuntimeError) as error:
        text = str(error)
        if wish.submission_id and "already exists" in text:
            msg = f"there is a job {wish.submission_id} already"
            raise UsageError(msg, hint="choose another --submission-id") from None
        if isinstance(error, ValueError) or "413" in text or "exceeds" in text:
            msg = f"the working folder {wish.working_dir} cannot be sent: {text.splitlines()[0]}"
            raise UsageError(msg, hint="keep data out of it with .rayignore; the limit is 100 MiB") from None
        raise


def _follow(client: JobSubmissionClient, job: str, output: Callable[[str], None]) -> None:
    async def tail() -> None:
        async for piece in client.tail_job_logs(job):
            output(piece)

    asyncio.run(tail())


def _exit_code(client: JobSubmissionClient, job: str, say: Callable[[str], None]) -> int:
    """How the job ended. Its log ends a moment before its status is final."""
    while not (info := client.get_job_info(job)).status.is_terminal():
        time.sleep(POLL_SECONDS)
    status = str(info.status)
    reason = str(info.message).partition(", last available logs")[0]  # they were shown already
    say(f"job {job}: {status.lower()}" + (f": {reason}" if status == "FAILED" else ""))
    if status == "STOPPED":
        return STOPPED
    code = info.driver_exit_code
    if code is None:
        return 0 if status == "SUCCEEDED" else 1
    return code if code >= 0 else 128 - code


@contextmanager
def _cluster_errors(address: str) -> Iterator[None]:
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        yield
    except (OSError, RuntimeError, ray.exceptions.RayError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        hint = "check --address and the token, see docs/cluster.md; or forward it: ray dashboard cluster.yaml"
        msg = f"Ray's dashboard cannot be used: {reason}"
        raise ClusterError(msg, hint=hint, address=address) from error
