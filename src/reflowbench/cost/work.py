"""What a stage does, in updates, network evaluations and floating-point operations."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Work:
    """What one stage does.

    Attributes:
        updates: Optimizer updates.
        train: Training passes, in samples.
        forward: Network evaluations from noise to image for pairs, in samples.
        inversion: The same from image to noise.
        looking: Network evaluations to measure or show the model, in samples.
        train_flops: Floating-point operations of the training passes.
        sample_flops: Those of all other network evaluations, with the rows that fill up the last block.
    """

    updates: int = 0
    train: int = 0
    forward: int = 0
    inversion: int = 0
    looking: int = 0
    train_flops: int = 0
    sample_flops: int = 0

    def __add__(self, other: Work) -> Work:
        """Both, one after the other."""
        return Work(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def times(self, count: int) -> Work:
        """The same, `count` times."""
        return Work(*(count * getattr(self, name) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Line:
    """Stages that cost the same.

    Attributes:
        group: Stage group of dvc.yaml.
        method: Method of the grid; empty where the stages are of none.
        stages: How many.
        each: What one of them does.
        disk: Bytes of the outputs of all of them.
        memory: Bytes of tensors that one of them holds at a time, at most; not the process with its libraries.
    """

    group: str
    method: str
    stages: int
    each: Work = field(default_factory=Work)
    disk: int = 0
    memory: int = 0

    @property
    def work(self) -> Work:
        """What all of them do."""
        return self.each.times(self.stages)
