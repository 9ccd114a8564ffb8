"""DNABERT-2 against a slow plain reference in float64, against the published code's output, and its invariants."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.special import erf, softmax
from torch.nn.attention import SDPBackend, sdpa_kernel

from workflow_lib.embed.alibi_attention import BlockAttention, FlexAttention, RowAttention, alibi_slopes
from workflow_lib.embed.dnabert2 import DNABERT2, DNABERT2Config
from workflow_lib.errors import InputError

# float32 has 24 significant bits; sums of some hundred products in another order lose a few of them.
TOLERANCE = 1e-5
CONFIG = DNABERT2Config(
    vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=6, intermediate_size=20
)  # fmt: skip


def random_weights(config=CONFIG, seed=0):
    """Large enough that every part of the model shows in its output, under the published names."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: tensor.shape for name, tensor in DNABERT2(config).state_dict().items()}
    return {name: torch.randn(shape, generator=generator) * 0.5 for name, shape in shapes.items()}


def write_model(folder, weights, config=CONFIG, prefix="", file="model.safetensors", **extra):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**asdict(config), "alibi_starting_size": 4, **extra}))
    save = save_file if file == "model.safetensors" else torch.save
    save({prefix + name: tensor.contiguous() for name, tensor in weights.items()}, folder / file)
    return folder


def random_batch(lengths, seed=0, vocabulary=40):
    ids = torch.randint(1, vocabulary, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return ids * mask, mask.long()


def reference(weights, config, ids):
    """One sequence, int (s,) -> float64 (s, hidden), from the description of the architecture."""
    w = {name: tensor.double().numpy() for name, tensor in weights.items()}

    def norm(x, name):
        centred = x - x.mean(1, keepdims=True)
        variance = (centred**2).mean(1, keepdims=True)
        return centred / np.sqrt(variance + config.layer_norm_eps) * w[f"{name}.weight"] + w[f"{name}.bias"]

    n_heads, width = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    slopes = np.array(alibi_slopes(n_heads))
    position = np.arange(len(ids))
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    for i in range(config.num_hidden_layers):
        name = f"encoder.layer.{i}"
        qkv = x @ w[f"{name}.attention.self.Wqkv.weight"].T + w[f"{name}.attention.self.Wqkv.bias"]
        heads = []
        for h in range(n_heads):
            columns = slice(h * width, (h + 1) * width)
            q, k, v = (part[:, columns] for part in np.split(qkv, 3, axis=1))
            scores = q @ k.T / np.sqrt(width) - slopes[h] * np.abs(position[:, None] - position)
            heads.append(softmax(scores, axis=1) @ v)
        dense = f"{name}.attention.output.dense"
        attended = np.concatenate(heads, axis=1) @ w[f"{dense}.weight"].T + w[f"{dense}.bias"]
        x = norm(attended + x, f"{name}.attention.output.LayerNorm")
        gate, value = np.split(x @ w[f"{name}.mlp.gated_layers.weight"].T, 2, axis=1)
        inner = gate * (1 + erf(gate / np.sqrt(2))) / 2 * value
        x = norm(inner @ w[f"{name}.mlp.wo.weight"].T + w[f"{name}.mlp.wo.bias"] + x, f"{name}.mlp.layernorm")
    return x


@pytest.fixture
def weights():
    return random_weights()


@pytest.fixture
def model(tmp_path, weights):
    return DNABERT2.from_pretrained(write_model(tmp_path / "model", weights))


def with_attention(model, kind):
    slopes = torch.tensor(alibi_slopes(model.config.num_attention_heads))
    model._plan_attention = lambda lengths, hidden: kind(lengths, slopes, hidden.dtype)
    return model


# --- against references ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [RowAttention, BlockAttention, FlexAttention])
@pytest.mark.parametrize("lengths", [(13, 1, 40, 7), (16, 16)])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_agrees_with_a_plain_reference(model, weights, kind, lengths, monkeypatch):
    monkeypatch.setattr("workflow_lib.embed.alibi_attention._BIAS_VALUES", 8 * 2 * 40 * 6)  # blocks of 8 queries
    ids, mask = random_batch(lengths)
    with torch.no_grad():
        found = with_attention(model, kind)(ids, mask)
    for row, length in enumerate(lengths):
        expected = reference(weights, CONFIG, ids[row, :length].numpy())
        np.testing.assert_allclose(found[row, :length], expected, atol=TOLERANCE)
        assert not found[row, length:].any()


@pytest.mark.shared
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("prefix", ["", "bert."])
def test_agrees_with_the_published_code(shared, tmp_path, file, prefix):
    oracle = np.load(shared / "oracles/dnabert2_tiny.npz")
    weights = {name[7:]: torch.from_numpy(oracle[name]) for name in oracle.files if name.startswith("weight:")}
    folder = write_model(tmp_path, weights, prefix=prefix, file=file)
    (folder / "config.json").write_text(str(oracle["config"]))
    ids, mask = torch.from_numpy(oracle["input_ids"]), torch.from_numpy(oracle["attention_mask"])
    model = DNABERT2.from_pretrained(folder)
    for kind in (RowAttention, BlockAttention):
        hidden = with_attention(model, kind)(ids, mask).detach()
        np.testing.assert_allclose(hidden, oracle["last_hidden_state"], atol=TOLERANCE)
        mean = hidden.sum(1) / mask.sum(1, keepdim=True)
        np.testing.assert_allclose(mean, oracle["mean_embedding"], atol=TOLERANCE)


@pytest.mark.parametrize(
    ("n_heads", "exponents"),
    [
        (1, [8]),
        (4, [2, 4, 6, 8]),
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (6, [2, 4, 6, 8, 1, 3]),
        (12, [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5]),
    ],
)
def test_slopes(n_heads, exponents):
    np.testing.assert_allclose(alibi_slopes(n_heads), 2.0 ** -np.array(exponents))


# --- invariants ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [RowAttention, BlockAttention])
def test_a_sequence_does_not_depend_on_its_batch(model, kind):
    ids, mask = random_batch((9, 30, 2))
    batch = with_attention(model, kind)(ids, mask)
    for row, length in enumerate((9, 30, 2)):
        alone = model(ids[row : row + 1, :length])
        np.testing.assert_allclose(batch[row, :length].detach(), alone[0].detach(), atol=TOLERANCE)


@pytest.mark.parametrize("lengths", [(9, 30, 2), (0, 4, 0), (5, 5)])
def test_lengths_stand_for_the_mask(model, lengths):
    ids, mask = random_batch(lengths)
    assert torch.equal(model(ids, lengths=list(lengths)), model(ids, mask))


@pytest.mark.parametrize("length", [10, 500, 5000])
def test_biases_of_blocks_take_bounded_memory(monkeypatch, length):
    monkeypatch.setattr("workflow_lib.embed.alibi_attention._BIAS_VALUES", 1 << 20)
    attention = BlockAttention([length], torch.tensor(alibi_slopes(12)), torch.bfloat16)
    assert attention.n_rows % 8 == 0
    assert attention.biases.numel() <= max(1 << 20, 8 * 2 * attention.longest * 12)  # 8 rows at least


def test_padding_may_be_on_the_left_and_hold_any_id(model):
    ids, mask = random_batch((9, 30))
    flipped = model(ids.where(mask.bool(), 39).roll(21, dims=1)[:1], mask.roll(21, dims=1)[:1])
    np.testing.assert_allclose(flipped[0, 21:].detach(), model(ids, mask)[0, :9].detach(), atol=TOLERANCE)


@pytest.mark.parametrize("kind", [RowAttention, BlockAttention])
@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (2, 5)])
def test_nothing_but_padding(model, kind, shape):
    ids = torch.zeros(shape, dtype=torch.int64)
    found = with_attention(model, kind)(ids, ids)
    assert found.shape == (*shape, 24)
    assert not found.any()
    assert with_attention(model, kind)(ids).shape == found.shape


@pytest.mark.parametrize("length", [1, 37])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_kernel_takes_the_biases(length, dtype):
    """Flash attention, whose memory is linear in the length, reads the biases from one row of numbers."""
    attention = RowAttention([length], torch.tensor(alibi_slopes(6)), dtype)
    qkv = torch.randn(length, 3, 6, 8, dtype=dtype)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # an error if it cannot take them
        attention(qkv)
    bias = attention.bias(length)
    assert bias.untyped_storage().nbytes() == 6 * (2 * length - 1) * dtype.itemsize
    position = torch.arange(length)
    assert torch.equal(bias[0, 0].flip(0), (-0.25 * (position[:, None] - position).abs()).to(dtype))


@pytest.mark.parametrize("kind", [RowAttention, BlockAttention])
def test_gradients(weights, tmp_path, kind):
    """Along a random direction the gradient is the slope of the loss (float64: central difference, error ~ step^2)."""
    model = DNABERT2.from_pretrained(write_model(tmp_path, weights), dtype=torch.float64)
    with_attention(model, kind)
    ids, mask = random_batch((11, 5))
    generator = torch.Generator().manual_seed(1)
    weight = model.encoder["layer"][0].attention["self"]["Wqkv"].weight
    direction = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    project = torch.randn(2, 11, 24, generator=generator, dtype=torch.float64)
    (model(ids, mask) * project).sum().backward()
    step, losses = 1e-4, []
    with torch.no_grad():
        for change in (step, -2 * step):
            weight += change * direction
            losses.append((model(ids, mask) * project).sum().item())
    slope = (losses[0] - losses[1]) / (2 * step)
    np.testing.assert_allclose((weight.grad * direction).sum().item(), slope, rtol=1e-4)


def test_bfloat16_stays_close(weights, tmp_path, model):
    folder = write_model(tmp_path / "again", weights)
    ids, mask = random_batch((30, 17))
    found = DNABERT2.from_pretrained(folder, dtype=torch.bfloat16)(ids, mask)
    assert found.dtype == torch.bfloat16
    similarity = torch.cosine_similarity(found.float().sum(1), model(ids, mask).sum(1))
    assert similarity.min() > 0.99  # 8 significant bits through two layers of large weights


@pytest.mark.gpu
@pytest.mark.parametrize("kernels", ["torch", "compiled"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu(tmp_path, kernels, dtype):
    config = DNABERT2Config(hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    weights = {name: tensor * 0.1 for name, tensor in random_weights(config).items()}
    folder = write_model(tmp_path, weights, config)
    ids, mask = random_batch((300, 7, 129), vocabulary=4096)
    expected = DNABERT2.from_pretrained(folder)(ids, mask).detach()
    found = DNABERT2.from_pretrained(folder, device="cuda", dtype=dtype, kernels=kernels)
    found = found(ids.cuda(), mask.cuda()).detach().float().cpu()
    # float32 products may run as TF32 with 11 significant bits, bfloat16 has 8; through two layers
    assert (found - expected).abs().max() < (0.02 if dtype == torch.float32 else 0.1)


# --- loading ---------------------------------------------------------------------------------------------------------


def test_attributes(model):
    assert model.hidden_size == 24
    assert model.max_tokens is None
    assert not model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_heads_are_left_out(tmp_path, weights, model, caplog):
    heads = {f"bert.{name}": tensor for name, tensor in weights.items()}
    heads |= {"bert.pooler.dense.weight": torch.ones(24, 24), "cls.predictions.bias": torch.ones(40)}
    heads |= {"classifier.weight": torch.ones(2, 24), "bert.embeddings.position_ids": torch.arange(4)}
    ids, _ = random_batch((9,))
    assert torch.equal(DNABERT2.from_pretrained(write_model(tmp_path / "heads", heads))(ids), model(ids))
    assert not caplog.records


def test_missing_tensor(tmp_path, weights):
    del weights["encoder.layer.1.mlp.wo.bias"]
    with pytest.raises(InputError, match=r"missing: encoder\.layer\.1\.mlp\.wo\.bias"):
        DNABERT2.from_pretrained(write_model(tmp_path, weights))


def test_misshaped_tensor(tmp_path, weights):
    weights["embeddings.word_embeddings.weight"] = torch.ones(41, 24)
    with pytest.raises(InputError, match=r"word_embeddings\.weight \(41, 24\), expected \(40, 24\)"):
        DNABERT2.from_pretrained(write_model(tmp_path, weights))


@pytest.mark.parametrize(("n_layers", "message"), [(1, "no place"), (3, "missing")])
def test_other_number_of_layers(tmp_path, weights, n_layers, message):
    folder = write_model(tmp_path, weights, num_hidden_layers=n_layers)
    with pytest.raises(InputError, match=rf"{message}.*encoder\.layer\."):
        DNABERT2.from_pretrained(folder)


def test_weights_of_plain_bert(tmp_path):
    from transformers import BertConfig, BertModel

    sizes = {name: value for name, value in asdict(CONFIG).items() if name != "layer_norm_eps"}
    weights = BertModel(BertConfig(**sizes)).state_dict()
    with pytest.raises(InputError, match=r"missing: .*Wqkv.*found"):
        DNABERT2.from_pretrained(write_model(tmp_path, weights))


def test_faulty_config(tmp_path, weights):
    with pytest.raises(InputError, match="not a multiple"):
        DNABERT2.from_pretrained(write_model(tmp_path, weights, num_attention_heads=5))
    with pytest.raises(InputError, match="hidden_size is None"):
        DNABERT2.from_pretrained(write_model(tmp_path, weights, hidden_size=None))


def test_unknown_kernels():
    with pytest.raises(ValueError, match="no kernels 'fast'"):
        DNABERT2(CONFIG, kernels="fast")
