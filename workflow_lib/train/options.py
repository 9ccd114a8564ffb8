"""What decides a training, told to be wrong before anything is loaded: no torch is needed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from workflow_lib.errors import InputError
from workflow_lib.train.pairs import PairOptions
from workflow_lib.train.sources import check_source, check_views

MIXINGS = ("manifold", "input", "none")
SCHEDULES = ("constant", "linear", "cosine")
PRECISIONS = ("auto", "float32", "bfloat16")
TEMPERATURE = 0.05  # Zhou et al. 2024, section 4


@dataclass(frozen=True)
class ContrastiveOptions:
    """What decides a contrastive training, beside how pairs are drawn.

    Attributes
    ----------
    pairs : see `PairOptions`.
    steps : batches of both phases.
    simclr_share : of the steps that are the first phase, Weighted SimCLR; 0: no curriculum, mixing from the start.
    mixing : of the second phase: "manifold", hidden states before a layer drawn anew for each batch; "input", what the
        first layer reads (i-Mix); "none", Weighted SimCLR to the end.
    mix_alpha : of the Beta distribution that the share of an anchor in its mixture is drawn from.
    temperature : of the losses.
    head : columns of a projection that the losses see and that is thrown away; 0: none.
    validation_pieces : of each held-out genome, for the validation by K-means.
    seed : of batches, mixing, head and validation.
    """

    pairs: PairOptions = field(default_factory=PairOptions)
    steps: int = 20_000
    simclr_share: float = 1 / 3
    mixing: str = "manifold"
    mix_alpha: float = 1.0
    temperature: float = TEMPERATURE
    head: int = 128
    validation_pieces: int = 10
    seed: int = 1

    def __post_init__(self) -> None:
        if self.mixing not in MIXINGS:
            raise InputError(
                f"found the mixing {self.mixing!r}, expected one of {', '.join(MIXINGS)}",
                remedy="correct train.mixing",
            )
        if not 0 <= self.simclr_share <= 1:
            raise InputError(f"found a share of {self.simclr_share} for the first phase, expected 0 to 1")
        if min(self.temperature, self.mix_alpha) <= 0:
            raise InputError(
                f"found temperature {self.temperature} and mix_alpha {self.mix_alpha}, expected both above 0"
            )
        if self.validation_pieces < 2:
            raise InputError(f"found {self.validation_pieces} pieces of a genome for validation, expected at least 2")

    @property
    def first_mixed_step(self) -> int:
        """The step from which batches are mixed; `steps` if none is."""
        return self.steps if self.mixing == "none" else round(self.simclr_share * self.steps)


@dataclass(frozen=True)
class LoopSettings:
    """How a task is trained.

    Attributes
    ----------
    learning_rate : of AdamW, after the warm-up.
    schedule : of `SCHEDULES`; linear and cosine fall to zero at the last step.
    warmup_steps : over which the learning rate rises from zero.
    weight_decay : of AdamW, on matrices only.
    clip : largest norm of a step's gradient; None: any.
    precision : "float32", "bfloat16" (autocast), or "auto": bfloat16 on a GPU, float32 on a CPU.
    checkpoint_steps, validation_steps, log_steps : steps between two of them.
    seed : of the generator that tasks draw from, and of torch's own.
    """

    learning_rate: float = 1e-4
    schedule: str = "linear"
    warmup_steps: int = 0
    weight_decay: float = 0.01
    clip: float | None = 1.0
    precision: str = "auto"
    checkpoint_steps: int = 500
    validation_steps: int = 500
    log_steps: int = 50
    seed: int = 1

    def __post_init__(self) -> None:
        for name, known in (("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise InputError(f"found the {name} {getattr(self, name)!r}, expected one of {', '.join(known)}")
        for name in ("checkpoint_steps", "validation_steps", "log_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"found {getattr(self, name)} {name}, expected at least 1")
        if self.learning_rate <= 0:
            raise InputError(f"found a learning rate of {self.learning_rate}, expected one above 0")

    @property
    def decisive(self) -> dict[str, object]:
        """The settings that decide the weights; a checkpoint of others cannot be gone on from."""
        left_out = ("checkpoint_steps", "validation_steps", "log_steps", "seed")
        settings = {name: value for name, value in asdict(self).items() if name not in left_out}
        return {**settings, "seed of the loop": self.seed}  # a task has a `seed` of its own


def pick(kind: type, section: Mapping[str, object]) -> dict[str, object]:
    """The keys of a configuration's section that are fields of a dataclass."""
    return {name: section[name] for name in kind.__dataclass_fields__ if name in section}


def read_training(section: Mapping[str, object], folder: str | Path) -> dict[str, object]:
    """Arguments of `embedder.train_embedder` from the configuration's section train, but model, table and device.

    Parameters
    ----------
    folder : that the trained model will be written to.

    Raises
    ------
    InputError
        when the section cannot be used, as far as it tells by itself.
    """
    pairs = PairOptions(**pick(PairOptions, section))
    dropout = section["dropout"] if pairs.strategy == "dropout" else 0.0
    check_source(section["model"], folder)
    check_views(section["model"], pairs.strategy, dropout)
    return {
        "options": ContrastiveOptions(pairs=pairs, **pick(ContrastiveOptions, section)),
        "settings": LoopSettings(**pick(LoopSettings, section)),
        "held_out": section["held_out"],
        "dropout": dropout,
        "recompute": section["recompute"],
    }
