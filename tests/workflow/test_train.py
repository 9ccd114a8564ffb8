"""`snakemake train`: a tiny DNABERT-2 learns, a killed run goes on to the same weights, and what is missing is told."""

import pytest
import yaml
from genome_tables import write_genomes
from running import read_losses, run_snakemake, start_and_kill
from tiny_models import write_dnabert2

from workflow_lib.embed import load_embedder

TRAIN = {
    "model": "model", "genomes": "genomes.tsv", "batch_size": 8, "length_median": 250, "length_sigma": 0.2,
    "min_length": 150, "max_length": 400, "steps": 40, "simclr_share": 0.75, "head": 16, "learning_rate": 0.001,
    "warmup_steps": 2, "checkpoint_steps": 10, "validation_steps": 20, "log_steps": 6, "validation_pieces": 3,
    "held_out": 0.2,
}  # fmt: skip
FOLDER = "results/models/trained"
ONE_CORE = ("--cores", "1")  # so small a model gains nothing from two


@pytest.fixture
def folder(tmp_path):
    return prepare(tmp_path)


def prepare(path, **changes):
    """Genomes, a model and a configuration in a folder."""
    path.mkdir(exist_ok=True)
    write_genomes(path)
    write_dnabert2(path / "model")
    (path / "samples.tsv").write_text("sample\tcontigs\nsmall\tgenome_0.fa.gz\n")
    content = {"samples": "samples.tsv", "libraries": None, "reference": None, "train": {**TRAIN, **changes}}
    (path / "config").mkdir(exist_ok=True)
    (path / "config/config.yaml").write_text(yaml.safe_dump(content))
    return path


def test_it_learns_and_a_killed_run_goes_on_to_the_same_weights(folder, root, tmp_path):
    run_snakemake(folder, root, *ONE_CORE, "train")
    first_phase = read_losses(folder / FOLDER / "training/history.tsv", until=30)
    assert len(first_phase) == 5
    assert first_phase[-1] < 0.8 * first_phase[0]
    assert "Nothing to be done" in run_snakemake(folder, root, *ONE_CORE, "train", "--dry-run").stdout
    vectors = load_embedder(folder / FOLDER).embed(["ACGTTGCAAC" * 30])
    assert vectors.shape == (1, 32)

    other = prepare(tmp_path / "killed")
    start_and_kill(other, root, *ONE_CORE, "train", checkpoint=FOLDER + "/training/checkpoint.pt")
    assert not (other / FOLDER / "model.safetensors").exists()
    run_snakemake(other, root, *ONE_CORE, "train", "--unlock")
    run_snakemake(other, root, *ONE_CORE, "train", "--rerun-incomplete")
    assert "going on from step" in (other / "logs/train_embedder.log").read_text()
    for name in ("model.safetensors", "training/history.tsv", "training/history.svg"):
        assert (other / FOLDER / name).read_bytes() == (folder / FOLDER / name).read_bytes()

    prepare(folder, temperature=0.1, steps=2)  # with other options there is nothing to delete first
    run_snakemake(folder, root, *ONE_CORE, "train")
    log = (folder / "logs/train_embedder.log").read_text()
    assert "temperature 0.05, now 0.1; that one is finished, so this one starts anew" in log
    assert (load_embedder(folder / FOLDER).embed(["ACGTTGCAAC" * 30]) != vectors).any()


def test_a_model_is_not_trained_where_it_is_written(folder, root):
    model = folder / FOLDER
    model.parent.mkdir(parents=True)
    (folder / "model").rename(model)
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    prepare(folder, model=FOLDER)
    done = run_snakemake(folder, root, *ONE_CORE, "train", check=False)
    assert done.returncode != 0
    assert "copy or move the folder to another place first, and set train.model to that" in done.stdout
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_wrong_settings_leave_the_earlier_model_as_it_was(folder, root):
    model = folder / FOLDER
    model.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "training.json"):
        (model / name).write_text("{}")
    for changes, message in (
        ({"model": "compact", "strategy": "dropout"}, "compact has no dropout"),
        ({"model": "compact", "min_length": 300}, "expected 20 <= min_length <= length_median <= max_length"),
        ({"strategy": "mutate", "mutation_rate": 0}, "raise train.mutation_rate"),
    ):
        prepare(folder, **changes)
        done = run_snakemake(folder, root, *ONE_CORE, "train", "--forceall", check=False)
        assert done.returncode != 0
        assert message in done.stdout
        assert {path.name for path in model.iterdir()} == {"config.json", "model.safetensors", "training.json"}
    pretrain = ("--config", "pretrain={genomes: genomes.tsv, width: 30, heads: 4}")
    done = run_snakemake(folder, root, "-n", "pretrain", *pretrain, check=False)
    assert done.returncode != 0
    assert "correct pretrain.width or pretrain.heads" in done.stdout


def test_a_model_of_ones_own_that_is_not_there_yet(folder, root):
    """With embed.model in the configuration for good: before the first training, and behind one that was killed."""
    prepare(folder, model="compact", steps=0, held_out=0)
    setting = ("--config", f"embed={{model: {FOLDER}}}")
    for _ in range(2):
        done = run_snakemake(folder, root, "-n", *setting, check=False)
        assert done.returncode != 0
        assert f"there is no model in {FOLDER}" in done.stdout
        assert "run `snakemake train` first" in done.stdout
        run_snakemake(folder, root, "--unlock", *setting)
        run_snakemake(folder, root, "-n", "pretrain", *setting, "pretrain={genomes: genomes.tsv}")
        (folder / FOLDER / "training").mkdir(parents=True, exist_ok=True)  # what a killed training leaves
    run_snakemake(folder, root, *ONE_CORE, "train", *setting)
    assert "rule embed_contigs:" in run_snakemake(folder, root, "-n", *setting).stdout


def test_tables_that_are_not_read_need_not_be_there(root, tmp_path):
    write_genomes(tmp_path)
    (tmp_path / "sets.tsv").write_text("set\tgenomes\tlength\nall\tgenomes.tsv\t300\n")
    options = ("train={model: compact, genomes: genomes.tsv, steps: 0, held_out: 0}", "scoreboard={sets: sets.tsv}")
    run_snakemake(tmp_path, root, *ONE_CORE, "train", "--config", *options)
    assert (tmp_path / FOLDER / "model.safetensors").is_file()
    run_snakemake(tmp_path, root, "-n", "evaluate_embeddings", "--config", *options)
    samples, reference = ("config/samples.tsv: no such table", "config/reference.tsv: no such table")
    targets = {"all": samples, "results/bins/x/bins.tsv": samples, "extend_index": reference, "train": reference}
    for target, message in targets.items():
        done = run_snakemake(tmp_path, root, "-n", target, "--config", "train={model: compact}", check=False)
        assert done.returncode != 0
        assert message in done.stdout
    (tmp_path / "samples.tsv").write_text("sample\tcontigs\nsmall\tgenome_0.fa.gz\n")
    setting = ("--config", "samples=samples.tsv", "libraries=null")
    done = run_snakemake(tmp_path, root, "-n", *setting, check=False)
    assert done.returncode != 0
    assert reference in done.stdout
    run_snakemake(tmp_path, root, "-n", *setting, "reference=null")


def test_what_is_missing_is_told(folder, root):
    for changes, message in (
        ({"model": None}, "train.model is not set"),
        ({"genomes": None}, "train.genomes is not set"),
        ({"genomes": "none.tsv"}, "none.tsv"),
        ({"model": "nothing"}, "nothing to train by the name 'nothing', and no such folder"),
        ({"model": "nt"}, "nt cannot be trained here"),
    ):
        prepare(folder, **changes)
        done = run_snakemake(folder, root, *ONE_CORE, "train", check=False)
        assert done.returncode != 0
        assert message in done.stdout
        assert "rule train_embedder:" not in done.stdout  # before any job
