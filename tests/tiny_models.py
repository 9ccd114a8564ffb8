"""Tiny models with random weights in the layout of published ones, written by the tests that need them."""

import itertools
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

WIDTH = 32


def random_sequence(rng, length, alphabet="ACGT"):
    return "".join(rng.choice(list(alphabet), length))


def write_bpe(folder: Path, *, vocabulary: int = 200) -> None:
    """A trained BPE tokenizer.json that cuts and pads, as the published one of DNABERT-2 does."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    rng = np.random.default_rng(0)
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([random_sequence(rng, 500) for _ in range(40)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.enable_truncation(100)
    tokenizer.enable_padding(pad_id=3, pad_token="[PAD]")
    tokenizer.save(str(folder / "tokenizer.json"))


def write_bert(folder: Path, *, seed: int = 0, **settings) -> Path:
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    shape = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(**{**shape, "vocab_size": 200, "max_position_embeddings": 512, **settings})
    BertModel(config).save_pretrained(folder)
    write_bpe(folder)
    return folder


def write_dnabert2(folder: Path, *, seed: int = 0, prefix: str = "bert.") -> Path:
    """The tensors of DNABERT-2 under their published names."""
    generator = torch.Generator().manual_seed(seed)
    inner, layers = 64, 2
    shapes = {
        "embeddings.word_embeddings.weight": (200, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
    }
    for layer in range(layers):
        base = f"encoder.layer.{layer}"
        shapes |= {
            f"{base}.attention.self.Wqkv.weight": (3 * WIDTH, WIDTH),
            f"{base}.attention.self.Wqkv.bias": (3 * WIDTH,),
            f"{base}.attention.output.dense.weight": (WIDTH, WIDTH),
            f"{base}.attention.output.dense.bias": (WIDTH,),
            f"{base}.mlp.gated_layers.weight": (2 * inner, WIDTH),
            f"{base}.mlp.wo.weight": (WIDTH, inner),
            f"{base}.mlp.wo.bias": (WIDTH,),
        }
    weights = {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()}
    norms = ["embeddings.LayerNorm"]
    for layer in range(layers):
        base = f"encoder.layer.{layer}"
        norms += [f"{base}.attention.output.LayerNorm", f"{base}.mlp.layernorm"]
    for norm in norms:
        weights |= {f"{norm}.weight": torch.ones(WIDTH), f"{norm}.bias": torch.zeros(WIDTH)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file({prefix + name: tensor for name, tensor in weights.items()}, folder / "model.safetensors")
    config = {
        "model_type": "bert", "architectures": ["BertForMaskedLM"], "alibi_starting_size": 512, "hidden_size": WIDTH,
        "num_attention_heads": 2, "num_hidden_layers": layers, "intermediate_size": inner, "vocab_size": 200,
        "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu", "pad_token_id": 0,
        "max_position_embeddings": 512, "auto_map": {"AutoModel": "bert_layers.BertModel"},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    write_bpe(folder)
    return folder


def kmers(k: int) -> list[str]:
    return ["".join(letters) for letters in itertools.product("ATCG", repeat=k)]


def write_nucleotide_transformer(folder: Path, *, version: int = 1, k: int = 3) -> Path:
    """An ESM model with a k-mer vocab.txt; version 2 with rotary positions and the gated feed-forward block."""
    from transformers import EsmConfig, EsmModel

    from workflow_lib.embed.nucleotide_transformer import gated_esm_class

    tokens = ["<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>", *kmers(k), *"ATCGN"]
    torch.manual_seed(version)
    config = EsmConfig(
        hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=len(tokens),
        pad_token_id=1, mask_token_id=2, max_position_embeddings=130, token_dropout=version == 1,
        position_embedding_type="absolute" if version == 1 else "rotary", emb_layer_norm_before=False,
    )  # fmt: skip
    model = EsmModel(config) if version == 1 else gated_esm_class(bias=False)(config)
    model.save_pretrained(folder)
    if version == 2:
        content = json.loads((folder / "config.json").read_text())
        content |= {"add_bias_fnn": False, "auto_map": {"AutoModelForMaskedLM": "modeling_esm.EsmForMaskedLM"}}
        (folder / "config.json").write_text(json.dumps(content))
    (folder / "vocab.txt").write_text("\n".join(tokens))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "EsmTokenizer", "eos_token": None}))
    return folder


def write_metaberta(folder: Path, *, k: int = 3) -> Path:
    """A BigBird model with block-sparse attention and overlapping k-mers."""
    from transformers import BigBirdConfig, BigBirdModel

    vocabulary = {"[UNK]": 0, "[SEP]": 1, "[CLS]": 2, "[MASK]": 3, "[PAD]": 4}
    vocabulary |= {kmer: identity for identity, kmer in enumerate(kmers(k), start=5)}
    torch.manual_seed(0)
    config = BigBirdConfig(
        hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, pad_token_id=4,
        vocab_size=len(vocabulary), max_position_embeddings=512, block_size=8, num_random_blocks=2,
    )  # fmt: skip
    BigBirdModel(config).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "special_tokens_map.json").write_text(json.dumps({"kmerlen": k, "overlapping": True, "maxlen": 512}))
    return folder


def write_hyenadna(folder: Path) -> Path:
    """A HyenaDNA model that reads 512 letters; it has no tokenizer file, as the published ones."""
    from workflow_lib.embed.hyenadna import HyenaDNA, HyenaDNAConfig

    torch.manual_seed(0)
    settings = {"vocab_size": 12, "d_model": WIDTH, "n_layer": 2, "d_inner": 64, "max_seq_len": 512, "filter_order": 16}
    folder.mkdir(parents=True, exist_ok=True)
    weights = HyenaDNA(HyenaDNAConfig(**settings)).state_dict()
    save_file({name: tensor.clone() for name, tensor in weights.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "hyenadna", **settings}))
    return folder


def write_kmer_vectors(path: Path, *, k: int = 4, columns: int = 16) -> Path:
    """Random k-mer vectors in word2vec's text format."""
    rng = np.random.default_rng(0)
    rows = [f"{kmer} {' '.join(f'{value:.6f}' for value in rng.normal(size=columns))}" for kmer in kmers(k)]
    path.write_text("\n".join([f"{len(rows)} {columns}", *rows, ""]))
    return path


def write_tnf_vae(folder: Path) -> Path:
    """A TNF-VAE trained for a moment on random contigs."""
    from workflow_lib.embed.tnf_vae import train_tnf_vae
    from workflow_lib.fasta import write_fasta

    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    fasta = folder / "contigs.fa.gz"
    write_fasta(fasta, [(f"contig_{i}", random_sequence(rng, 500).encode()) for i in range(40)])
    train_tnf_vae([fasta], folder, epochs=2)
    return folder
