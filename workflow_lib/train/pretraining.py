"""Pre-train a language model on a table of genomes: from nothing to a model folder."""

from __future__ import annotations

import logging
import shutil
from dataclasses import asdict
from pathlib import Path

from workflow_lib.embed.base import compute_fingerprint
from workflow_lib.embed.devices import find_devices
from workflow_lib.embed.model_files import remove_other_files
from workflow_lib.embed.model_tokenizer import load_tokenizer
from workflow_lib.embed.windows import MIN_SEGMENT
from workflow_lib.tables import load_reference
from workflow_lib.train import processes
from workflow_lib.train.genomes import load_genomes, split_by_genus
from workflow_lib.train.loop import LoopSettings, train
from workflow_lib.train.mlm import MaskedLMTask
from workflow_lib.train.mlm_model import MODEL_TYPE, save_model
from workflow_lib.train.mlm_options import PretrainOptions, make_tokenizer
from workflow_lib.train.trainable import WEIGHTS_NAME, write_record

logger = logging.getLogger(__name__)

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def pretrain_model(
    table: str | Path,
    folder: str | Path,
    *,
    options: PretrainOptions,
    settings: LoopSettings,
    held_out: float = 0.1,
    device: str = "cpu",
) -> None:
    """Train a tokenizer and a transformer of DNABERT-2's architecture by masking, and write them as a model folder.

    A killed training goes on from `folder`/training/checkpoint.pt, where history.tsv and history.svg stand too.

    Parameters
    ----------
    table : genomes, as reference.tsv; held in memory, a byte a bp.
    folder : to write: what `load_embedder` and `train_embedder` read, and training.json, which tells how it was made.
    held_out : share of the genera to validate on; the tokenizer does not see them either.
    device : "cpu", "cuda", "cuda:N", or "cuda:N,M" for a process on each.

    Raises
    ------
    InputError
        when table, options or device cannot be used, or a checkpoint is of another, unfinished training.
    ToolError
        when one of several processes failed.
    """
    n = len(find_devices(device, option="pretrain.device"))
    processes.launch(_pretrain, table, Path(folder), options, settings, held_out, device, n=n)


def _pretrain(
    table: str | Path,
    folder: Path,
    options: PretrainOptions,
    settings: LoopSettings,
    held_out: float,
    device: str,
) -> None:
    """`pretrain_model` in one process."""
    rows = load_reference(table)
    loaded = load_genomes(rows.values(), min_length=MIN_SEGMENT)
    genomes, others = split_by_genus(loaded, held_out=held_out, seed=options.seed, min_species=1)
    # Beside the checkpoint: what is refused, or killed, leaves the tokenizer of an earlier model with its weights.
    own_tokenizer = folder / "training/tokenizer"
    with processes.process_group(processes.own_device(device)) as own_device:
        if processes.rank() == 0:
            make_tokenizer(options, [rows[genome.name].fasta for genome in genomes], own_tokenizer)
        processes.wait_for_all()
        tokenizer = load_tokenizer(own_tokenizer, MODEL_TYPE)
        segments = ([segment for genome in part for segment in genome.segments] for part in (genomes, others))
        task = MaskedLMTask(*segments, tokenizer, options)
        history = train(task, settings, folder=folder / "training", device=own_device)
        if processes.rank() == 0:
            _save(task, own_tokenizer, folder)
            record = {
                "genomes": [genome.name for genome in genomes], "held_out": [genome.name for genome in others],
                "fingerprint": compute_fingerprint(task.identity), "options": asdict(options),
                "settings": asdict(settings), "last": history.rows[-1],
            }  # fmt: skip
            write_record(folder, record)
            logger.info("%s: the pre-trained model", folder)
        processes.wait_for_all()  # nobody is told that it is done before the model is there


def _save(task: MaskedLMTask, tokenizer: Path, folder: Path) -> None:
    """Write the model, and move its tokenizer into its folder."""
    save_model(task.module, folder)
    for name in _TOKENIZER_FILES:
        (tokenizer / name).replace(folder / name)
    shutil.rmtree(tokenizer)
    remove_other_files(folder, ["config.json", *_TOKENIZER_FILES, WEIGHTS_NAME])
