"""Model folders: what is wrong with a bad one, what the fingerprint covers, and when the workflow embeds anew."""

import json
import os
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import (
    write_bert,
    write_dnabert2,
    write_hyenadna,
    write_metaberta,
    write_nucleotide_transformer,
    write_tnf_vae,
)

from workflow_lib.embed import load_embedder
from workflow_lib.embed.model_files import choose_files, model_state, weights_mb
from workflow_lib.embed.registry import (
    EMBEDDERS,
    LANGUAGE_MODEL_OPTIONS,
    OPTIONS,
    WEIGHTS,
    select_options,
)
from workflow_lib.errors import InputError


@pytest.fixture
def bert(tmp_path):
    return write_bert(tmp_path / "model")


def change_config(folder, **changes):
    path = folder / "config.json"
    content = {key: value for key, value in (json.loads(path.read_text()) | changes).items() if value is not None}
    path.write_text(json.dumps(content))


def test_the_folder_gives_the_name(bert):
    assert load_embedder(bert).name == "model"


def test_pytorch_weights_give_the_same_vectors(bert):
    sequence = "ACGTTGCAAC" * 20
    expected = load_embedder(bert).embed([sequence])
    torch.save(load_file(bert / "model.safetensors"), bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    assert (load_embedder(bert).embed([sequence]) == expected).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "no config.json: this is no model folder"),
        ("tokenizer.json", "found no tokenizer"),
        ("model.safetensors", "weights"),
    ],
)
def test_a_missing_file_is_named(bert, name, message):
    (bert / name).unlink()
    (bert / "tokenizer_config.json").unlink(missing_ok=True)
    with pytest.raises(InputError, match=message):
        load_embedder(bert)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_truncated_file_is_refused(bert, name, share):
    content = (bert / name).read_bytes()
    (bert / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=str(bert)):
        load_embedder(bert)


def test_weights_of_another_model_are_refused_by_name(bert, tmp_path):
    other = write_nucleotide_transformer(tmp_path / "other")
    shutil.copy(other / "model.safetensors", bert)
    with pytest.raises(InputError, match=r"(lack|have another shape).*(embeddings|encoder)\."):
        load_embedder(bert)


def test_a_missing_and_a_misshaped_tensor_are_named(bert):
    path = bert / "model.safetensors"
    weights = load_file(path)
    query = "encoder.layer.1.attention.self.query.weight"
    save_file({name: tensor for name, tensor in weights.items() if name != query}, path)
    with pytest.raises(InputError, match=rf"lack 1 tensors.*{query}"):
        load_embedder(bert)
    save_file(weights | {query: torch.zeros(3, 3)}, path)
    with pytest.raises(InputError, match=rf"{query} \(3, 3\), expected \(32, 32\)"):
        load_embedder(bert)


def test_version_two_of_nucleotide_transformer_is_not_read_as_version_one(tmp_path):
    folder = write_nucleotide_transformer(tmp_path, version=2)
    change_config(folder, add_bias_fnn=None)
    with pytest.raises(InputError, match="intermediate"):
        load_embedder(folder)


def test_a_tokenizer_of_another_model_is_refused(bert):
    change_config(bert, vocab_size=50)
    with pytest.raises(InputError, match=r"another shape|the tokenizer has ids up to"):
        load_embedder(bert)
    weights = load_file(bert / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    save_file(weights | {name: weights[name][:50].clone()}, bert / "model.safetensors")
    with pytest.raises(InputError, match="the tokenizer has ids up to 199, the model knows 50 tokens"):
        load_embedder(bert)


class Payload:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused_and_not_run(bert, tmp_path):
    marker = tmp_path / "was_run"
    (bert / "model.safetensors").unlink()
    torch.save({"weight": Payload(marker)}, bert / "pytorch_model.bin")
    with pytest.raises(InputError):
        load_embedder(bert)
    (bert / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(InputError):
        load_embedder(bert)
    assert not marker.exists()


def test_remote_code_is_run_only_if_it_is_trusted(bert, tmp_path):
    marker = tmp_path / "was_run"
    change_config(
        bert,
        model_type="house_model",
        auto_map={"AutoConfig": "house.HouseConfig", "AutoModel": "house.HouseModel"},
        architectures=["HouseModel"],
    )
    (bert / "house.py").write_text(
        "import os\n"
        "from transformers import BertConfig, BertModel\n"
        f"os.makedirs({str(marker)!r}, exist_ok=True)\n"
        "class HouseConfig(BertConfig):\n    model_type = 'house_model'\n"
        "class HouseModel(BertModel):\n    config_class = HouseConfig\n"
    )
    with pytest.raises(InputError, match=r"known neither to novabin nor to transformers.*\n.*trust_remote_code"):
        load_embedder(bert)
    assert not marker.exists()
    vectors = load_embedder(bert, trust_remote_code=True).embed(["ACGTTGCAAC" * 20])
    assert marker.exists()
    assert vectors.any()


@pytest.mark.parametrize(
    ("write", "changes"),
    [
        (write_dnabert2, {"model_type": None}),
        (write_dnabert2, {"alibi_starting_size": None}),  # told by its auto_map
        (write_hyenadna, {"model_type": None, "hyena_order": 2}),
    ],
)
def test_own_modules_are_told_by_their_settings(tmp_path, write, changes):
    folder = write(tmp_path / "model")
    sequences = ["ACGTTGCATTGCCATGTACG" * 4]
    expected = load_embedder(folder).embed(sequences)
    change_config(folder, **changes)
    assert (load_embedder(folder).embed(sequences) == expected).all()


def test_trust_changes_nothing_where_no_encoder_comes_with_the_model(tmp_path):
    folder = write_nucleotide_transformer(tmp_path / "model", version=2)  # its auto_map names a model with a head
    sequences = ["ACGTTGCATTGCCATGTACG" * 4]
    expected = load_embedder(folder).embed(sequences)
    assert (load_embedder(folder, trust_remote_code=True).embed(sequences) == expected).all()


@pytest.mark.parametrize("size", [None, "many", 0])
def test_a_vocabulary_without_a_size_is_refused(tmp_path, size):
    folder = write_dnabert2(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": size}))
    with pytest.raises(InputError, match=f"vocab_size is {size!r}, expected a whole number above zero"):
        load_embedder(folder)


def test_an_unknown_architecture_without_code_is_refused(bert):
    change_config(bert, model_type="house_model", architectures=None)
    with pytest.raises(InputError, match="brings no code"):
        load_embedder(bert)


def test_the_fingerprint_covers_what_decides_a_vector(bert, tmp_path):
    variants = [
        {}, {"pooling": "max"}, {"window": 300}, {"window": 300, "overlap": 10}, {"both_strands": True},
        {"dtype": "bfloat16"},
    ]  # fmt: skip
    fingerprints = [load_embedder(bert, **options).fingerprint for options in variants]
    write_bert(tmp_path / "other", seed=1)
    fingerprints.append(load_embedder(tmp_path / "other").fingerprint)
    tokenizer = json.loads((bert / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Lowercase"}
    shutil.copytree(bert, tmp_path / "tokenized")
    (tmp_path / "tokenized/tokenizer.json").write_text(json.dumps(tokenizer))
    fingerprints.append(load_embedder(tmp_path / "tokenized").fingerprint)
    assert len(set(fingerprints)) == len(fingerprints)


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_the_fingerprint_and_state_cover_shards_of_any_name(bert, ending):
    name, save = f"part.{ending}", torch.save if ending == "bin" else save_file
    index = ("pytorch_model" if ending == "bin" else "model") + f".{ending}.index.json"
    weights = load_file(bert / "model.safetensors")
    (bert / "model.safetensors").unlink()
    (bert / index).write_text(json.dumps({"weight_map": dict.fromkeys(weights, name)}))
    found = []
    for scale in (1.0, 0.5):
        save({key: value * scale for key, value in weights.items()}, bert / name)
        found.append((load_embedder(bert).fingerprint, model_state(bert)))
    assert found[0][0] != found[1][0]
    assert found[0][1] != found[1][1]
    assert weights_mb(bert) == (bert / name).stat().st_size / 1e6
    (bert / index).write_text("[]")
    assert model_state(bert), "a damaged index is told where the model is loaded"


def test_the_fingerprint_leaves_out_what_does_not(bert, tmp_path):
    shutil.copytree(bert, tmp_path / "copy")
    (tmp_path / "copy/README.md").write_text("a model")
    expected = load_embedder(bert).fingerprint
    assert load_embedder(tmp_path / "copy", threads=1, token_budget=77).fingerprint == expected
    assert load_embedder(bert, window=100_000).fingerprint == expected, "no longer than the model's limit"


def test_the_state_of_a_folder_follows_its_files(bert):
    state = model_state(bert)
    assert len(state) == 12
    (bert / "README.md").write_text("a model")
    assert model_state(bert) == state
    os.utime(bert / "model.safetensors", ns=(1, 1))
    assert model_state(bert) != state
    assert model_state("tnf-k") == model_state(bert / "missing") == ""


def test_only_one_kind_of_weights_is_chosen():
    names = ["README.md", "config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5", "vocab.txt", "x.py"]
    assert choose_files(names) == ["config.json", "vocab.txt", "model.safetensors"]
    assert choose_files(names, remote_code=True)[-1] == "x.py"
    parts = ["pytorch_model.bin.index.json", "pytorch_model-00002-of-00002.bin", "pytorch_model-00001-of-00002.bin"]
    assert choose_files(parts) == [parts[0], parts[2], parts[1]]


def test_each_embedder_is_given_the_options_that_it_takes(root):
    import inspect
    from importlib import import_module

    import yaml

    from workflow_lib.embed.language_model import LanguageModel

    config = yaml.safe_load((root / "config/config.yaml").read_text())["embed"]
    for name, (module, class_name) in EMBEDDERS.items():
        parameters = list(inspect.signature(getattr(import_module(module), class_name)).parameters)
        known = {"weights", *parameters[1:]} if name in WEIGHTS else set(parameters)
        assert set(select_options(name, config)) == set(OPTIONS[name]) == set(config) & known - {"device"}
        if name not in WEIGHTS:
            load_embedder(name, **select_options(name, config))
            continue
        with pytest.raises(InputError, match=rf"{name} needs a (file|folder).*\n.*embed\.weights"):
            load_embedder(name, **select_options(name, config))
    parameters = {*inspect.signature(LanguageModel).parameters, "revision"}
    for model in ("dnabert-s", "folder/of/mine"):
        assert set(select_options(model, config)) == set(LANGUAGE_MODEL_OPTIONS)
        assert set(LANGUAGE_MODEL_OPTIONS) == set(config) & parameters - {"device"}


def test_a_folder_of_a_trained_vae_is_no_language_model(tmp_path):
    folder = write_tnf_vae(tmp_path / "vae")
    by_name = load_embedder("tnf-vae", weights=folder)
    by_folder = load_embedder(folder)
    assert by_folder.fingerprint == by_name.fingerprint
    assert set(select_options(str(folder), {"both_strands": True, "pooling": "max"})) == {"both_strands"}


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"no embedder named 'dnabert'.*tnf-k.*dnabert-s.*\n.*owner/name"):
        load_embedder("dnabert")


def test_a_revision_of_a_folder_is_not_passed_over_in_silence(tmp_path, caplog):
    load_embedder(write_bert(tmp_path), revision="v1")
    assert "revision v1 does not concern" in caplog.text


def test_metaberta_in_many_orders_keeps_its_attention(tmp_path):
    """transformers' BigBird stays in full attention once it met a short text; the encoder must not."""
    embedder = load_embedder(write_metaberta(tmp_path))
    long, short = "ACGTTGCATG" * 40, "ACGTTGCATG" * 3
    first = embedder.embed([long])
    embedder.embed([short])
    assert (embedder.embed([long]) == first).all()


def test_the_size_of_weights_is_that_of_the_files_that_are_read(tmp_path):
    folder = write_bert(tmp_path / "bert")
    (folder / "pytorch_model.bin").write_bytes(bytes(10**6))  # not read beside model.safetensors
    assert weights_mb(folder) == (folder / "model.safetensors").stat().st_size / 1e6
    assert weights_mb(tmp_path) is None
    assert weights_mb("dnabert-s") is None
