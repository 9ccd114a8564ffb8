"""HyenaDNA against a slow plain reference in float64, against the published code's output, and its invariants."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from workflow_lib.embed.hyenadna import HyenaDNA, HyenaDNAConfig
from workflow_lib.errors import InputError

# float32 has 24 significant bits; FFTs and sums in another order lose a few of them.
TOLERANCE = 1e-5
CONFIG = HyenaDNAConfig(
    vocab_size=12, d_model=6, n_layer=2, d_inner=10, max_seq_len=50, emb_dim=5, filter_order=7, activation_freq=3.0
)  # fmt: skip
FIRST_SINE = "implicit_filter.1.freq"


def random_weights(seed=0):
    """Large enough that every part of the model shows in its output, under the published names."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, tensor in HyenaDNA(CONFIG).state_dict().items():
        keep = "pos_emb" in name or "deltas" in name
        weights[name] = tensor.clone() if keep else torch.randn(tensor.shape, generator=generator) * 0.5
    for name in weights:
        if name.endswith(".freq"):  # one for all layers of a filter's network
            weights[name] = weights[name.rsplit("implicit_filter", 1)[0] + FIRST_SINE].clone()
    return weights


def write_model(folder, weights, prefix="", file="model.safetensors", **extra):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**asdict(CONFIG), "model_type": "hyenadna", **extra}))
    save = save_file if file == "model.safetensors" else torch.save
    save({prefix + name: tensor.contiguous() for name, tensor in weights.items()}, folder / file)
    return folder


def random_ids(*shape, seed=0):
    return torch.randint(0, 12, shape, generator=torch.Generator().manual_seed(seed))


def reference(weights, ids):
    """One sequence, int (s,) -> float64 (s, width), from the description; convolutions as plain sums."""
    w = {name.removeprefix("backbone."): tensor.double().numpy() for name, tensor in weights.items()}
    s, width = len(ids), CONFIG.d_model

    def norm(x, name):
        centred = x - x.mean(1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0)

    def long_filter(name):
        time = np.linspace(0, 1, CONFIG.max_seq_len)[:s, None]
        angle = 2 * np.pi / CONFIG.max_seq_len * np.arange(s)[:, None] * np.array([1e-4, 1.0])
        taps = np.hstack([time, np.cos(angle), -np.sin(angle)])
        for i in (0, 2, 4):
            taps = np.sin(w[f"{name}.{FIRST_SINE}"] * linear(taps, f"{name}.implicit_filter.{i}"))
        rates = np.linspace(np.log(100) / 1.5, np.log(100) / 0.3, width)
        return linear(taps, f"{name}.implicit_filter.6") * (np.exp(-time * rates) + 0.05)

    def mix(x, name):
        projected = np.vstack([np.zeros((2, 3 * width)), linear(x, f"{name}.in_proj")])
        kernel, offset = w[f"{name}.short_filter.weight"][:, 0], w[f"{name}.short_filter.bias"]
        short = np.array([(projected[i : i + 3] * kernel.T).sum(0) + offset for i in range(s)])
        outer, inner, value = np.split(short, 3, axis=1)
        signal, taps = inner * value, long_filter(f"{name}.filter_fn")
        long = np.array([sum(signal[i - j] * taps[j] for j in range(i + 1)) for i in range(s)])
        return linear(outer * (long + signal * w[f"{name}.filter_fn.bias"]), f"{name}.out_proj")

    x = w["embeddings.word_embeddings.weight"][ids]
    for i in range(CONFIG.n_layer):
        name = f"layers.{i}"
        x = x + mix(norm(x, f"{name}.norm1"), f"{name}.mixer")
        inner = linear(norm(x, f"{name}.norm2"), f"{name}.mlp.fc1")
        inner = inner * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3))) / 2
        x = x + linear(inner, f"{name}.mlp.fc2")
    return norm(x, "ln_f")


@pytest.fixture
def weights():
    return random_weights()


@pytest.fixture
def model(tmp_path, weights):
    return HyenaDNA.from_pretrained(write_model(tmp_path / "model", weights))


# --- against references ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 37, 50])
def test_agrees_with_a_plain_reference(model, weights, length):
    ids = random_ids(2, length)
    found = model(ids).detach()
    for row in range(2):
        np.testing.assert_allclose(found[row], reference(weights, ids[row].numpy()), atol=TOLERANCE)


@pytest.mark.shared
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("prefix", ["", "hyena."])
def test_agrees_with_the_published_code(shared, tmp_path, file, prefix):
    oracle = np.load(shared / "oracles/hyenadna_tiny.npz")
    weights = {name[7:]: torch.from_numpy(oracle[name]) for name in oracle.files if name.startswith("weight:")}
    folder = write_model(tmp_path, weights, prefix=prefix, file=file)
    (folder / "config.json").write_text(str(oracle["config"]))
    hidden = HyenaDNA.from_pretrained(folder)(torch.from_numpy(oracle["input_ids"])).detach()
    np.testing.assert_allclose(hidden, oracle["last_hidden_state"], atol=TOLERANCE)


@pytest.mark.shared
def test_position_features_begin_as_published(shared):
    oracle = np.load(shared / "oracles/hyenadna_tiny.npz")
    config = json.loads(str(oracle["config"]))
    names = {name: config[name] for name in asdict(CONFIG) if name in config}
    for name, tensor in HyenaDNA(HyenaDNAConfig(**names)).state_dict().items():
        if "pos_emb" in name or "deltas" in name:
            np.testing.assert_allclose(tensor, oracle[f"weight:{name}"], atol=1e-5, err_msg=name)


# --- invariants ------------------------------------------------------------------------------------------------------


def test_later_positions_change_nothing(model):
    ids = random_ids(1, 40)
    changed = ids.clone()
    changed[0, 23:] = 11 - changed[0, 23:]
    before, after = model(ids).detach(), model(changed).detach()
    np.testing.assert_allclose(after[0, :23], before[0, :23], atol=TOLERANCE)
    assert (after[0, 23] - before[0, 23]).abs().max() > 0.01


def test_padding_may_be_on_the_left(model):
    ids = random_ids(2, 30)
    mask = torch.tensor([[0] * 21 + [1] * 9, [1] * 30])
    found = model(ids, mask).detach()
    np.testing.assert_allclose(found[:1, 21:], model(ids[:1, 21:]).detach(), atol=TOLERANCE)
    np.testing.assert_allclose(found[1:], model(ids[1:]).detach(), atol=TOLERANCE)
    assert not found[0, :21].any()


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (2, 5)])
def test_nothing_but_padding(model, shape):
    ids = torch.zeros(shape, dtype=torch.int64)
    found = model(ids, ids)
    assert found.shape == (*shape, CONFIG.d_model)
    assert not found.any()
    assert model(ids).shape == found.shape


@pytest.mark.parametrize("length", [1, 17, 31])
def test_padding_changes_nothing(model, length):
    ids = random_ids(1, length)
    padded = torch.nn.functional.pad(ids, (0, 50 - length), value=4)
    mask = torch.arange(50)[None] < length
    found = model(padded, mask).detach()
    np.testing.assert_allclose(found[:, :length], model(ids).detach(), atol=TOLERANCE)
    assert not found[:, length:].any()
    assert torch.equal(found, model(padded, mask.long()).detach())


def test_bfloat16_keeps_the_filters(tmp_path, weights, model):
    folder = write_model(tmp_path / "again", weights)
    found = HyenaDNA.from_pretrained(folder, dtype=torch.bfloat16)
    ids = random_ids(2, 50)
    vectors = found(ids)
    assert vectors.dtype == torch.bfloat16
    filters = [layer.mixer.filter_fn for layer in found.backbone["layers"]]
    assert all(parameter.dtype == torch.float32 for part in filters for parameter in part.parameters())
    similarity = torch.cosine_similarity(vectors.float().sum(1), model(ids).sum(1))
    assert similarity.min() > 0.99  # 8 significant bits through two layers of large weights


def test_every_parameter_is_learned(model):
    model(random_ids(2, 50)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu(tmp_path, weights, model, dtype):
    found = HyenaDNA.from_pretrained(write_model(tmp_path / "again", weights), device="cuda", dtype=dtype)
    ids = random_ids(3, 50)
    difference = found(ids.cuda()).detach().float().cpu() - model(ids).detach()
    # float32 products may run as TF32 with 11 significant bits, bfloat16 has 8; through two layers
    assert difference.abs().max() < (0.02 if dtype == torch.float32 else 0.1)


# --- loading ---------------------------------------------------------------------------------------------------------


def test_attributes(model):
    assert model.hidden_size == 6
    assert model.max_tokens == 50
    assert not model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_too_long(model):
    with pytest.raises(InputError, match="51 tokens; this model reads at most 50"):
        model(random_ids(1, 51))


def test_one_name_of_the_shared_frequency_is_enough(tmp_path, weights, model):
    kept = {name: t for name, t in weights.items() if not name.endswith(("filter.1.freq", "filter.5.freq"))}
    ids = random_ids(1, 20)
    assert torch.equal(HyenaDNA.from_pretrained(write_model(tmp_path / "kept", kept))(ids), model(ids))


def test_constant_frequency(tmp_path, weights):
    without = {name: tensor for name, tensor in weights.items() if not name.endswith(".freq")}
    folder = write_model(tmp_path, without, train_freq=False)
    constant = {**without}
    for name, tensor in weights.items():
        if name.endswith(".freq"):
            constant[name] = torch.full_like(tensor, CONFIG.activation_freq)
    ids = random_ids(1, 20)
    found = HyenaDNA.from_pretrained(folder)(ids).detach()
    np.testing.assert_allclose(found[0], reference(constant, ids[0].numpy()), atol=TOLERANCE)
    with pytest.raises(InputError, match=r"missing: .*\.freq"):
        HyenaDNA.from_pretrained(write_model(tmp_path, without))


def test_head_is_left_out(tmp_path, weights, model, caplog):
    given = {f"hyena.{name}": tensor for name, tensor in weights.items()} | {"lm_head.weight": torch.ones(16, 6)}
    ids = random_ids(1, 20)
    assert torch.equal(HyenaDNA.from_pretrained(write_model(tmp_path / "head", given))(ids), model(ids))
    assert not caplog.records


def test_missing_and_misshaped_tensors(tmp_path, weights):
    name = "backbone.layers.1.mixer.filter_fn.pos_emb.z"
    with pytest.raises(InputError, match=r"pos_emb\.z \(1, 50, 5\), expected \(1, 60, 5\)"):
        HyenaDNA.from_pretrained(write_model(tmp_path, weights, max_seq_len=60))
    del weights[name]
    with pytest.raises(InputError, match=f"missing: {name}"):
        HyenaDNA.from_pretrained(write_model(tmp_path, weights))


def test_weights_of_another_model(tmp_path):
    with pytest.raises(InputError, match=r"missing: backbone.*found encoder\.weight"):
        HyenaDNA.from_pretrained(write_model(tmp_path, {"encoder.weight": torch.ones(2)}))


@pytest.mark.parametrize(
    ("extra", "message"),
    [({"hyena_order": 3}, "hyena_order is 3"), ({"emb_dim": 4}, "emb_dim is 4"), ({"d_model": 0}, "d_model is 0")],
)
def test_faulty_config(tmp_path, weights, extra, message):
    with pytest.raises(InputError, match=message):
        HyenaDNA.from_pretrained(write_model(tmp_path, weights, **extra))
