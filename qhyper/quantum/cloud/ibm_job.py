"""A job of IBM Quantum: what it says of itself, and its shots."""

from typing import Any

import numpy as np

from qhyper.bits import Bits
from qhyper.errors import JobError
from qhyper.quantum.cloud.door import JobState, Measured, Unreadable, as_measured
from qhyper.quantum.cloud.ibm_errors import came_out_of, no_answer, of_request
from qhyper.quantum.cloud.qiskit_result import state_of
from qhyper.quantum.cloud.redaction import redacted, words_of


class IBMJob:
    """A job that IBM, or a snapshot's simulator (`local`), has taken: a `CloudJob`.

    `service` is what its service is called.
    """

    def __init__(self, service: str, job: Any, *, local: bool = False) -> None:
        self._service, self._job, self._local = service, job, local
        self.job_id: str = job.job_id()

    @property
    def session(self) -> str:
        """IBM's number of the session or batch that it is in; empty if it is in none."""
        return getattr(self._job, "_session_id", None) or ""

    def state(self) -> JobState:
        """What IBM says about it; see `CloudJob`."""
        try:
            return state_of(self._job.status())
        except Exception as error:
            if came_out_of(error, "_set_error_message"):  # it failed, and has no words for it
                return JobState.FAILED
            raise no_answer(error) from error

    def message(self) -> str:
        """IBM's own words about a failed job."""
        try:
            if self._local:
                self._job.result()
            words = self._job.error_message() or getattr(self._job, "_reason", None)
            return redacted(str(words or ""))
        except Exception as error:
            return words_of(error)

    def called(self) -> str:
        """The tag that it was sent with."""
        return next(iter(getattr(self._job, "tags", None) or ()), "")

    def queue(self) -> str:
        """Its place in IBM's queue, as far as IBM knows."""
        place = self._metrics().get("position_in_queue")
        return "" if place is None else f"place {place} in the queue"

    def charged(self) -> str:
        """The quantum time that IBM has charged; nothing until that is known."""
        usage = self._metrics().get("usage") or {}
        seconds = usage.get("qpu_charge_time_seconds", usage.get("quantum_seconds"))
        if seconds is None or (usage.get("status") == "pending" and not seconds):
            return ""
        so_far = " so far" * (usage.get("status") == "pending")
        return f"{seconds:g} s of quantum time{so_far}"

    def measured(self, shape: tuple[int, int, int], *, seed: int) -> Measured:
        """What it measured; see `CloudJob`. `seed` is not used: IBM gives every shot.

        Raises JobError if the job failed after all, Unreadable if there is no result, or it cannot
        be read.
        """
        from qiskit_ibm_runtime.exceptions import (
            RuntimeInvalidStateError,
            RuntimeJobFailureError,
            RuntimeJobMaxTimeoutError,
        )

        raw: list[str] = []
        try:
            result = self._result(raw)
        except (RuntimeInvalidStateError, RuntimeJobFailureError, RuntimeJobMaxTimeoutError) as bad:
            raise JobError(f"{self._service}: {words_of(bad)}") from bad
        except Exception as error:
            if not self._local and not raw and of_request(error):
                raise no_answer(error) from error
            raise Unreadable(
                f"{self._service}: the result of {self.job_id} cannot be read: {words_of(error)} "
                "It is still at the service: get it with another version of qiskit-ibm-runtime.",
                raw="".join(raw).encode(),
            ) from error
        if result is None:
            raise Unreadable(
                f"{self._service} has no result for {self.job_id}: it was deleted, or could be "
                "read once and was read. Nothing was made of it."
            )
        try:
            return as_measured(_unpacked(result), shape, self._service)
        except Exception as error:
            words = str(error) if isinstance(error, JobError) else words_of(error)
            raise Unreadable(words, raw="".join(raw).encode()) from error

    def _result(self, raw: list[str]) -> Any:
        """IBM's own result object; what it was decoded from is added to `raw`."""
        if self._local:
            return self._job.result()
        from qiskit_ibm_runtime.decoders.result_decoder import ResultDecoder

        class Kept(ResultDecoder):
            """Decodes nothing; the others follow it."""

            @classmethod
            def decode(cls, data: Any) -> Any:
                raw.append(data)
                return data

        return self._job.result(decoder=[Kept, *self._job._result_decoders])

    def _metrics(self) -> dict[str, Any]:
        if self._local:
            return {}
        try:
            return self._job.metrics()
        except Exception as error:
            raise no_answer(error) from error


def _unpacked(result: Any) -> Bits:
    """Shots [row, shot, clbit] of a PrimitiveResult; its registers side by side, in their order."""
    pubs = []
    for pub in result:
        registers = []
        for array in pub.data.values():
            bits = np.unpackbits(array.array, axis=-1)[..., ::-1][..., : array.num_bits]
            registers.append(bits.reshape(-1, *bits.shape[-2:]))
        pubs.append(np.concatenate(registers, axis=-1))
    return np.concatenate(pubs)
