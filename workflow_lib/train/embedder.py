"""Train an embedder on a table of genomes: from a model folder to a model folder."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

from workflow_lib.embed.base import compute_fingerprint
from workflow_lib.embed.devices import find_devices
from workflow_lib.embed.hub import hub_repository, locate_model
from workflow_lib.tables import load_reference
from workflow_lib.train import processes
from workflow_lib.train.compact import TrainableCompact, leave_out_fragments
from workflow_lib.train.contrastive import ContrastiveTask
from workflow_lib.train.genomes import load_genomes, split_by_genus
from workflow_lib.train.loop import train
from workflow_lib.train.options import ContrastiveOptions, LoopSettings
from workflow_lib.train.sources import COMPACT, check_source, check_views
from workflow_lib.train.trainable import TrainableLanguageModel, write_record

logger = logging.getLogger(__name__)


def train_embedder(
    model: str | Path,
    table: str | Path,
    folder: str | Path,
    *,
    options: ContrastiveOptions,
    settings: LoopSettings,
    held_out: float = 0.1,
    dropout: float = 0.0,
    recompute: bool = False,
    device: str = "cpu",
) -> None:
    """Train an embedder to tell species apart and write it as a model folder.

    A killed training goes on from `folder`/training/checkpoint.pt, where history.tsv and history.svg stand too.

    Parameters
    ----------
    model : folder of DNABERT-2, DNABERT-S or HyenaDNA, or a name of the hub; "compact" starts from the linear
        discriminant of the genomes (`compact.learn_discriminant`), and with no steps that is the model.
    table : genomes, as reference.tsv.
    folder : to write, not the model's own; training.json in it tells what the model was trained from.
    held_out : share of the genera to validate on; 0: none.
    dropout, recompute : see `TrainableLanguageModel`.
    device : "cpu", "cuda", "cuda:N", or "cuda:N,M" for a process on each.

    Raises
    ------
    InputError
        when model, table, options or device cannot be used, or a checkpoint is of another, unfinished training.
    ToolError
        when one of several processes failed.
    """
    check_source(str(model), folder)
    check_views(str(model), options.pairs.strategy, dropout)
    source = locate_model(str(model)) if hub_repository(str(model)) else Path(model)
    arguments = (source, table, folder, options, settings, held_out, dropout, recompute, device)
    processes.launch(_train, *arguments, n=len(find_devices(device, option="train.device")))


def _train(
    source: Path,
    table: str | Path,
    folder: str | Path,
    options: ContrastiveOptions,
    settings: LoopSettings,
    held_out: float,
    dropout: float,
    recompute: bool,
    device: str,
) -> None:
    """`train_embedder` in one process."""
    folder = Path(folder)
    rows = load_reference(table).values()
    loaded = load_genomes(rows, min_length=options.pairs.min_length)
    genomes, others = split_by_genus(loaded, held_out=held_out, seed=options.seed)
    if str(source) == COMPACT:
        genomes = leave_out_fragments(genomes)
        trainable = TrainableCompact.learn(genomes, seed=options.seed)
    else:
        trainable = TrainableLanguageModel(source, dropout=dropout, recompute=recompute)
    with processes.process_group(processes.own_device(device)) as own_device:
        task = ContrastiveTask(trainable, genomes, others, options)
        history = train(task, settings, folder=folder / "training", device=own_device)
        if processes.rank() == 0:
            trainable.save(folder)
            record = {
                "model": str(source), "genomes": [genome.name for genome in genomes],
                "held_out": [genome.name for genome in others], "fingerprint": compute_fingerprint(task.identity),
                "dropout": dropout, "options": asdict(options), "settings": asdict(settings),
                "last": history.rows[-1] if history.rows else {},
            }  # fmt: skip
            write_record(folder, record)
            logger.info("%s: the trained model", folder)
        processes.wait_for_all()  # nobody is told that it is done before the model is there
