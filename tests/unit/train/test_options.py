"""The configuration's sections of trainings: what is read of them, and what is refused before anything is loaded."""

import subprocess
import sys

import pytest
import yaml

from workflow_lib.errors import InputError
from workflow_lib.train.mlm_options import PretrainOptions, read_pretraining
from workflow_lib.train.options import ContrastiveOptions, LoopSettings, read_training
from workflow_lib.train.pairs import PairOptions
from workflow_lib.train.sources import check_views, untrained_target


@pytest.fixture(scope="module")
def config(root):
    return yaml.safe_load((root / "config/config.yaml").read_text())


def test_every_key_is_read(config):
    section = {
        **config["train"],
        "model": "dnabert-2",
        "mutation_rate": 0.2,
        "head": 7,
        "log_steps": 3,
        "held_out": 0.3,
    }
    found = read_training(section, "trained")
    assert found["options"] == ContrastiveOptions(
        pairs=PairOptions(mutation_rate=0.2), head=7, simclr_share=section["simclr_share"]
    )
    assert found["settings"] == LoopSettings(learning_rate=3e-6, schedule="constant", warmup_steps=500, log_steps=3)
    assert (found["held_out"], found["dropout"], found["recompute"]) == (0.3, 0.0, True)
    assert read_training({**section, "strategy": "dropout"}, "trained")["dropout"] == 0.1
    found = read_pretraining({**config["pretrain"], "heads": 8})
    assert found["options"] == PretrainOptions(heads=8)
    assert found["settings"] == LoopSettings(
        learning_rate=5e-4, warmup_steps=2000, checkpoint_steps=1000, validation_steps=1000, log_steps=100
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "dropout"}, "compact has no dropout"),
        ({"strategy": "double_strand"}, "both views of a pair would be the same"),
        ({"model": "dnabert-2", "strategy": "dropout", "dropout": 0}, "a dropout of 0"),
        ({"min_length": 5000, "length_median": 3000}, "correct train.min_length"),
        ({"simclr_share": 2}, "share of 2"),
        ({"validation_pieces": 1}, "found 1 pieces"),
        ({"model": "nothing"}, "nothing to train by the name"),
    ],
)
def test_wrong_settings(config, changes, message):
    with pytest.raises(InputError, match=message):
        read_training({**config["train"], "model": "compact", **changes}, "trained")


def test_other_models_may_learn_from_both_strands():
    check_views("dnabert-2", "double_strand", 0.0)
    check_views("dnabert-2", "dropout", 0.1)
    check_views("compact", "same_genome", 0.0)


def test_it_takes_no_torch():
    """Snakemake reads the section at every start."""
    code = "import sys, workflow_lib.train.options, workflow_lib.train.mlm_options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_workflow_s_own_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = "results/models"
    assert untrained_target("results/models/trained", models) == "train"
    assert untrained_target(str(tmp_path / "results/models/pretrained/"), models) == "pretrain"
    assert untrained_target("compact", models) is None
    assert untrained_target("results/models/other", models) is None
    (tmp_path / "results/models/trained").mkdir(parents=True)
    assert untrained_target("results/models/trained", models) == "train"
    (tmp_path / "results/models/trained/config.json").write_text("{}")
    assert untrained_target("results/models/trained", models) is None
