"""Weights of model folders: every form they come in, and every way in which they can be wrong."""

import json
import logging
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from workflow_lib.embed.weights import fill, load_weights, read_settings
from workflow_lib.errors import InputError


@pytest.fixture
def weights():
    generator = torch.Generator().manual_seed(0)
    return {"a.weight": torch.randn(3, 2, generator=generator), "a.bias": torch.randn(3, generator=generator)}


def equal(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def write_shards(folder, weights, save, pattern, index):
    files = {name: pattern.format(i) for i, name in enumerate(weights)}
    for name, file in files.items():
        save({name: weights[name]}, folder / file)
    (folder / index).write_text(json.dumps({"weight_map": files}))


# --- files -----------------------------------------------------------------------------------------------------------


def test_safetensors(tmp_path, weights):
    save_file(weights, tmp_path / "model.safetensors")
    assert equal(load_weights(tmp_path), weights)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickle_of_tensors(tmp_path, weights, zipped):
    torch.save(weights, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert equal(load_weights(tmp_path), weights)


def test_pickle_of_a_checkpoint(tmp_path, weights):
    torch.save({"epoch": 3, "state_dict": weights}, tmp_path / "pytorch_model.bin")
    assert equal(load_weights(tmp_path), weights)


def test_sharded_safetensors(tmp_path, weights):
    write_shards(tmp_path, weights, save_file, "model-{}.safetensors", "model.safetensors.index.json")
    assert equal(load_weights(tmp_path), weights)


def test_sharded_pickles(tmp_path, weights):
    write_shards(tmp_path, weights, torch.save, "pytorch_model-{}.bin", "pytorch_model.bin.index.json")
    assert equal(load_weights(tmp_path), weights)


def test_safetensors_come_first(tmp_path, weights):
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"never read")
    assert equal(load_weights(tmp_path), weights)


def test_no_weights(tmp_path):
    with pytest.raises(InputError, match=r"no weights here.*model\.safetensors"):
        load_weights(tmp_path)


@pytest.mark.parametrize("kept", [0, 5, 60, -1])
def test_truncated_safetensors(tmp_path, weights, kept):
    path = tmp_path / "model.safetensors"
    save_file(weights, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"model\.safetensors: truncated") as caught:
        load_weights(tmp_path)
    assert "To mend it" in str(caught.value)


@pytest.mark.parametrize("kept", [0, 5, 500, -1])
def test_truncated_pickle(tmp_path, weights, kept):
    path = tmp_path / "pytorch_model.bin"
    torch.save(weights, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"pytorch_model\.bin: "):
        load_weights(tmp_path)


class _Touch:
    """Pickled, it makes a file when it is read by plain pickle."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_code_in_a_pickle_does_not_run(tmp_path, weights, save):
    trace, path = tmp_path / "executed", tmp_path / "pytorch_model.bin"
    save({**weights, "harmless": _Touch(trace)}, path)
    with pytest.raises(InputError, match="code in it was not run"):
        load_weights(tmp_path)
    assert not trace.exists()
    torch.load(path, weights_only=False) if save is torch.save else pickle.loads(path.read_bytes())
    assert trace.exists(), "this pickle runs code where code is allowed, so the test could have failed"


def test_pickle_without_names(tmp_path):
    torch.save([torch.ones(2)], tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="expected tensors by name"):
        load_weights(tmp_path)


def test_git_lfs_pointer(tmp_path):
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 468354149\n"
    (tmp_path / "model.safetensors").write_text(text)
    with pytest.raises(InputError, match="Git LFS pointer"):
        load_weights(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "expected an object"),
        ("{}", "no weight_map"),
        ('{"weight_map": {"a": 1}}', "no weight_map"),
        ('{"weight_map": {"a": "model-1.safetensors"}}', "files that are not here: model-1"),
        ('{"weight_map": {"a": "../model.safetensors"}}', "expected a file beside it"),
        ('{"weight_map": {"b": "there.safetensors"}}', "tensors in none of its files: b"),
    ],
)
def test_faulty_index(tmp_path, weights, content, message):
    save_file(weights, tmp_path / "there.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(InputError, match=message):
        load_weights(tmp_path)


# --- into a module ---------------------------------------------------------------------------------------------------


def small_module():
    return nn.ModuleDict({"a": nn.Linear(2, 3)})


@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_fill(weights, prefix, device):
    with torch.device(device):
        module = small_module()
    given = {prefix + name: tensor.half() for name, tensor in weights.items()}
    assert fill(module, given, prefixes=("", "model.")) == []
    assert equal(module.state_dict(), {name: tensor.half().float() for name, tensor in weights.items()})
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_missing_tensor(weights):
    del weights["a.bias"]
    with pytest.raises(InputError, match=r"1 tensors are missing: a\.bias; found a\.weight"):
        fill(small_module(), weights)


def test_misshaped_tensor(weights):
    weights["a.weight"] = weights["a.weight"].T.contiguous()
    with pytest.raises(InputError, match=r"a\.weight \(2, 3\), expected \(3, 2\)"):
        fill(small_module(), weights)


def test_tensor_of_a_part_that_is_there_but_has_no_place(weights):
    with pytest.raises(InputError, match=r"no place.*a\.2\.weight"):
        fill(small_module(), {**weights, "a.2.weight": torch.ones(2)})


def test_unknown_and_ignored_tensors(weights, caplog):
    given = {**weights, "head.weight": torch.ones(2), "other.weight": torch.ones(2)}
    with caplog.at_level(logging.WARNING):
        assert fill(small_module(), given, ignored=("head.",)) == ["other.weight"]
    assert "other.weight" in caplog.text
    assert "head.weight" not in caplog.text


def test_values_that_are_no_numbers(weights):
    weights["a.bias"][1] = torch.nan
    with pytest.raises(InputError, match=r"NaN or infinite values: a\.bias"):
        fill(small_module(), weights)


def test_quantized_tensor(weights):
    weights["a.weight"] = torch.ones(3, 2, dtype=torch.int8)
    with pytest.raises(InputError, match=r"no floating-point numbers: a\.weight"):
        fill(small_module(), weights)


def test_shared_parameter_needs_one_of_its_names():
    shared = nn.Linear(2, 2)
    module = nn.Sequential(shared, nn.Linear(2, 2), shared)
    given = {name: torch.randn_like(tensor) for name, tensor in module.state_dict().items() if name[0] != "0"}
    fill(module, given)
    assert torch.equal(module[0].weight, given["2.weight"])
    assert module[0].weight is module[2].weight
    del given["2.bias"]
    with pytest.raises(InputError, match=r"missing: 0\.bias, 2\.bias"):
        fill(module, given)


def test_buffer_keeps_its_value_or_takes_the_given_one():
    module = nn.Module()
    module.register_buffer("table", torch.zeros(2))
    fill(module, {})
    assert torch.equal(module.table, torch.zeros(2))
    fill(module, {"table": torch.ones(2)})
    assert torch.equal(module.table, torch.ones(2))


# --- config.json -----------------------------------------------------------------------------------------------------

DEFAULTS = {"width": None, "layers": 2, "eps": 1e-5, "tied": True}


def test_settings(tmp_path):
    (tmp_path / "config.json").write_text('{"width": 8, "eps": 1, "tied": null, "more": "text"}')
    assert read_settings(tmp_path, DEFAULTS) == {"width": 8, "layers": 2, "eps": 1, "tied": True}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "width is None, expected a whole number"),
        ('{"width": "8"}', "width is '8'"),
        ('{"width": 8.0}', "width is 8.0"),
        ('{"width": true}', "width is True"),
        ('{"width": 8, "layers": 0}', "layers is 0"),
        ('{"width": 8, "eps": "x"}', "eps is 'x', expected a number"),
        ('{"width": 8, "tied": 1}', "tied is 1, expected true or false"),
        ("{", "not a JSON file"),
    ],
)
def test_faulty_settings(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_settings(tmp_path, DEFAULTS)


def test_no_config(tmp_path):
    with pytest.raises(InputError, match=r"config\.json: not a JSON file"):
        read_settings(tmp_path, DEFAULTS)
