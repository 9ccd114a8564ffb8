"""TNF-VAE: the network after training as torch has it, the same bytes at any thread count, folders whole and broken."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tiny_models import random_sequence

from workflow_lib.embed.tnf import project_frequencies, tetranucleotide_frequencies
from workflow_lib.embed.tnf_vae import LATENT, TNFVAE, read_projected, standardise, train_tnf_vae
from workflow_lib.embed.tnf_vae_training import Network, length_weights, train_network
from workflow_lib.errors import InputError
from workflow_lib.fasta import write_fasta


def genome_pieces(n_genomes, n_pieces, *, length=3000, seed=0):
    """Pieces of random genomes, each with its own composition of 4-mers; and the number of each one's genome."""
    rng = np.random.default_rng(seed)
    pieces, genomes = [], []
    for genome in range(n_genomes):
        transitions = rng.dirichlet(np.full(4, 6), size=64).cumsum(axis=1)
        for _ in range(n_pieces):
            state, text = 0, bytearray()
            for draw in rng.random(length):
                base = int(min(3, np.searchsorted(transitions[state], draw)))
                text.append(b"ACGT"[base])
                state = (state << 2 | base) & 63
            pieces.append(bytes(text))
            genomes.append(genome)
    return pieces, np.array(genomes)


@pytest.fixture(scope="module")
def pieces():
    return genome_pieces(4, 30, length=2000)


@pytest.fixture(scope="module")
def fasta(pieces, tmp_path_factory):
    path = tmp_path_factory.mktemp("vae") / "contigs.fa.gz"
    write_fasta(path, [(f"c{i}", piece) for i, piece in enumerate(pieces[0])])
    return path


@pytest.fixture(scope="module")
def folder(fasta):
    train_tnf_vae([fasta], fasta.parent / "model", epochs=40)
    return fasta.parent / "model"


def test_the_embedder_computes_what_the_network_does(pieces, folder):
    """float64 in numpy against torch's own layers in evaluation mode."""
    weights = load_file(folder / "model.safetensors")
    network = Network().eval().double()
    state = {name: torch.from_numpy(array) for name, array in weights.items() if name not in ("mean", "deviation")}
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.startswith(("decoder", "output")) or name.endswith("num_batches_tracked") for name in missing)
    projected = project_frequencies(tetranucleotide_frequencies(pieces[0])).astype(float)
    with torch.no_grad():
        rows = torch.from_numpy((projected - weights["mean"]) / weights["deviation"])
        expected = network.encode(rows).numpy()
    embedder = TNFVAE(folder)
    np.testing.assert_allclose(embedder.encode(projected), expected, rtol=1e-9, atol=1e-9)
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embedder.embed(pieces[0]), unit, atol=1e-6)


def test_pieces_of_a_genome_are_closer_than_others(pieces, folder):
    sequences, genomes = pieces
    similarity = (lambda v: v @ v.T)(TNFVAE(folder).embed(sequences))
    same = genomes[:, None] == genomes
    np.fill_diagonal(similarity, -1)
    assert (genomes[similarity.argmax(axis=1)] == genomes).mean() > 0.95
    assert similarity[same].mean() > similarity[~same].mean() + 0.3


def test_training_lowers_the_loss(fasta):
    projected, lengths = read_projected([fasta])
    mean, deviation = standardise(projected)
    rows = ((projected - mean) / deviation).astype(np.float32)
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(rows.std(axis=0), 1, atol=1e-4)
    first, last = (train_network(rows, lengths, epochs=epochs)[1] for epochs in (1, 30))
    assert last < 0.6 * first


def test_the_batch_doubles_and_no_row_is_left_out(monkeypatch):
    sizes = []
    loss = Network.loss

    def record(self, rows, weights, generator):
        sizes.append(len(rows))
        return loss(self, rows, weights, generator)

    monkeypatch.setattr(Network, "loss", record)
    monkeypatch.setattr("workflow_lib.embed.tnf_vae_training.DOUBLED_AT", (1, 2))
    rows = np.random.default_rng(0).normal(size=(1100, 103)).astype(np.float32)
    train_network(rows, np.full(1100, 3000), epochs=4)
    assert sizes == [275] * 4 + [550] * 2 + [1100] * 2


def test_long_sequences_weigh_more():
    weights = length_weights(np.array([100, 1000, 10_000, 1_000_000]))
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_allclose(weights / weights[0], [1, 1, (np.log(1e4) - 5) / 2, (np.log(1e6) - 5) / 2], rtol=1e-6)


def test_the_same_seed_gives_the_same_bytes_at_any_thread_count(fasta, tmp_path):
    before = torch.get_num_threads()
    try:
        for name, threads, seed in (("one", 1, 5), ("three", 3, 5), ("other", 1, 6)):
            torch.set_num_threads(threads)
            train_tnf_vae([fasta], tmp_path / name, epochs=3, seed=seed, threads=threads)
    finally:
        torch.set_num_threads(before)
    one, three, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "three", "other"))
    assert one == three != other
    assert TNFVAE(tmp_path / "one").fingerprint == TNFVAE(tmp_path / "three").fingerprint
    assert TNFVAE(tmp_path / "one").fingerprint != TNFVAE(tmp_path / "other").fingerprint


def test_training_leaves_the_random_state_and_threads_of_the_caller(fasta, tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    train_tnf_vae([fasta], tmp_path, epochs=1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("sequences", [[], ["ACGTTGCAACGT"], ["ACG", "NNNNNN", ""], ["ACGTTGCA"] * 20], ids=len)
def test_few_or_equal_sequences_give_a_valid_model(tmp_path, sequences, caplog):
    write_fasta(tmp_path / "c.fa.gz", [(f"c{i}", sequence.encode()) for i, sequence in enumerate(sequences)])
    train_tnf_vae([tmp_path / "c.fa.gz"], tmp_path / "model", epochs=2)
    embedder = TNFVAE(tmp_path / "model")
    vectors = embedder.embed([*sequences, random_sequence(np.random.default_rng(0), 900)])
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors[-1]) == pytest.approx(1, abs=1e-6)
    assert ("too few to train on" in caplog.text) == (len(sequences) < 20)


def test_read_projected_is_the_same_in_blocks(fasta, pieces, monkeypatch):
    whole, lengths = read_projected([fasta])
    assert lengths.tolist() == [len(piece) for piece in pieces[0]]
    monkeypatch.setattr("workflow_lib.embed.tnf_vae._BLOCK_BP", 10_000)
    assert read_projected([fasta], threads=2)[0].tobytes() == whole.tobytes()
    twice, _ = read_projected([fasta, fasta])
    assert twice.tobytes() == 2 * whole.tobytes()


def test_config_tells_how_it_was_trained(folder, pieces):
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "tnf-vae"
    assert (config["latent"], config["epochs"], config["seed"]) == (LATENT, 40, 0)
    assert (config["n_sequences"], config["total_bp"]) == (120, sum(map(len, pieces[0])))


def copy_model(folder, target, **settings):
    target.mkdir()
    config = json.loads((folder / "config.json").read_text()) | settings
    (target / "config.json").write_text(json.dumps(config))
    (target / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    return target


def test_a_broken_folder_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match=r"not a config.json that can be read.*\n.*train_tnf_vae"):
        TNFVAE(tmp_path / "none")
    with pytest.raises(InputError, match=r"model_type 'bert', version 1; expected 'tnf-vae', 1"):
        TNFVAE(copy_model(folder, tmp_path / "bert", model_type="bert"))
    with pytest.raises(InputError, match=r"version 2; expected"):
        TNFVAE(copy_model(folder, tmp_path / "later", version=2))
    cut = copy_model(folder, tmp_path / "cut") / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"not a safetensors file that can be read"):
        TNFVAE(cut.parent)
    weights = load_file(folder / "model.safetensors")
    for name, message in (("latent.bias", "found none"), ("mean", r"found \(5,\)")):
        broken = copy_model(folder, tmp_path / name)
        changed = {key: value for key, value in weights.items() if key != name}
        save_file(changed if name == "latent.bias" else {**changed, name: np.zeros(5)}, broken / "model.safetensors")
        with pytest.raises(InputError, match=rf"tensor {name}: {message}, expected shape"):
            TNFVAE(broken)


def test_a_gpu_and_a_single_path_are_refused(folder, fasta, tmp_path):
    with pytest.raises(InputError, match="tnf-vae runs on the CPU only, the device asked for is 'cuda:0'"):
        TNFVAE(folder, device="cuda:0")
    with pytest.raises(TypeError, match="put it into a list"):
        train_tnf_vae(fasta, tmp_path)
