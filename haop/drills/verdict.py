"""From figures to a judgement. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from haop.drills.measure import Measurement
from haop.model.spec import Objectives

# Fewer acknowledged writes before the fault than these say nothing about what a fault loses.
ENOUGH_WRITES = 20


class Word(StrEnum):
    """Inconclusive: could not be measured. It is a verdict of its own, and never green."""

    PASSED = "passed"
    MISSED = "missed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The word, and why it is not `passed`."""

    word: Word
    reasons: tuple[str, ...] = ()


def judge(measured: Measurement, objectives: Objectives) -> Verdict:
    """Hold a measurement against the objectives."""
    if unmeasured := tuple(_unmeasured(measured)):
        return Verdict(Word.INCONCLUSIVE, unmeasured)
    if missed := tuple(_missed(measured, objectives)):
        return Verdict(Word.MISSED, missed)
    return Verdict(Word.PASSED)


def _unmeasured(measured: Measurement) -> list[str]:
    reasons = []
    if measured.acknowledged_before_fault < ENOUGH_WRITES:
        reasons.append(f"only {measured.acknowledged_before_fault} writes were acknowledged before the fault")
    if measured.unexpected:
        reasons.append(f"{len(measured.unexpected)} rows are there that no client wrote: the ledger cannot be trusted")
    if measured.read_recovery_seconds is None:
        reasons.append("no read was answered after the fault")
    return reasons


def _missed(measured: Measurement, objectives: Objectives) -> list[str]:
    reasons = []
    write, read = measured.write_recovery_seconds, measured.read_recovery_seconds
    if write is None:
        reasons.append("no write that lasted was acknowledged by a new primary")
    elif write > objectives.write_recovery_seconds:
        reasons.append(
            f"writes came back after {write:.2f} s; the objective is {objectives.write_recovery_seconds:g} s"
        )
    if read is not None and read > objectives.read_recovery_seconds:
        reasons.append(f"reads came back after {read:.2f} s; the objective is {objectives.read_recovery_seconds:g} s")
    if len(measured.lost) > objectives.lost_writes:
        reasons.append(f"{len(measured.lost)} acknowledged writes are lost; the objective is {objectives.lost_writes}")
    if measured.old_primary:
        reasons.append(f"the old primary took {len(measured.old_primary)} writes after the promotion")
    if measured.redundancy_seconds is None:
        reasons.append("redundancy did not come back")
    return reasons
