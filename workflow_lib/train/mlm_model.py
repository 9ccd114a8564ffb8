"""DNABERT-2's encoder with a masked-language-model head, and its model folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from workflow_lib.embed.dnabert2 import DNABERT2, DNABERT2Config
from workflow_lib.files import atomic_open
from workflow_lib.train.mlm_masking import IGNORED
from workflow_lib.train.trainable import save_weights

_INITIAL_DEVIATION = 0.02  # of the weights at the start; Devlin et al. 2019's published code
MODEL_TYPE = "bert"  # in config.json, as of DNABERT-2
_DECODER = "cls.predictions.decoder.weight"


class MaskedLM(nn.Module):
    """Scores of all tokens at masked places: W_emb LN(gelu(W h + b)) + c, with the embeddings W_emb of the encoder.

    Modules are named as in published weights ("bert.", "cls.predictions."). Source: Devlin et al. 2019 (BERT) and its
    published code; encoder: Zhou et al. 2024 (DNABERT-2). There is no dropout.

    Parameters
    ----------
    config : sizes of the encoder.
    seed : of the first weights.
    """

    def __init__(self, config: DNABERT2Config, *, seed: int = 0) -> None:
        super().__init__()
        width = config.hidden_size
        self.bert = DNABERT2(config)
        transform = {"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=config.layer_norm_eps)}
        head = {"transform": nn.ModuleDict(transform), "decoder": nn.Linear(width, config.vocab_size)}
        self.cls = nn.ModuleDict({"predictions": nn.ModuleDict(head)})
        self._initialise(torch.Generator().manual_seed(seed))
        self.cls["predictions"]["decoder"].weight = self.bert.embeddings["word_embeddings"].weight

    def _initialise(self, generator: torch.Generator) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=_INITIAL_DEVIATION, generator=generator)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Tensor:
        """Scores (n, vocabulary) at the n places whose label counts, in reading order.

        Parameters
        ----------
        input_ids, labels : int64 (b, s); labels are `IGNORED` where nothing is asked.
        attention_mask : bool (b, s), true at tokens.
        """
        hidden = self.bert(input_ids, attention_mask)[labels != IGNORED]
        predictions = self.cls["predictions"]
        transform = predictions["transform"]
        return predictions["decoder"](transform["LayerNorm"](gelu(transform["dense"](hidden))))


def save_model(model: MaskedLM, folder: str | Path) -> None:
    """Write config.json and model.safetensors (float32), which `DNABERT2.from_pretrained` and embedders read."""
    config = model.bert.config
    content = {
        "model_type": MODEL_TYPE,
        "architectures": ["BertForMaskedLM"],
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "type_vocab_size": config.type_vocab_size,
        "layer_norm_eps": config.layer_norm_eps,
        "hidden_act": "gelu",
        "pad_token_id": 0,
        "alibi_starting_size": 512,  # tells this architecture from BERT with learnt positions
        "tie_word_embeddings": True,
    }
    # The decoder is the embeddings, which a safetensors file may hold once only.
    save_weights({name: value for name, value in model.state_dict().items() if name != _DECODER}, folder)
    with atomic_open(Path(folder) / "config.json") as handle:
        json.dump(content, handle, indent=2)
        handle.write("\n")
