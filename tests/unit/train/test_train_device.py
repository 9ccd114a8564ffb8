"""Devices of training that cannot be had."""

import pytest
import torch

from workflow_lib.errors import InputError
from workflow_lib.train.contrastive import ContrastiveOptions
from workflow_lib.train.embedder import train_embedder
from workflow_lib.train.loop import LoopSettings
from workflow_lib.train.mlm_options import PretrainOptions
from workflow_lib.train.pretraining import pretrain_model


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["gpu", "cuda"])
def test_the_message_names_the_key_of_the_training(device, tmp_path):
    common = {"settings": LoopSettings(), "device": device}
    with pytest.raises(InputError, match=r"\bpretrain\.device"):
        pretrain_model("no.tsv", tmp_path, options=PretrainOptions(), **common)
    with pytest.raises(InputError, match=r"\btrain\.device"):
        train_embedder("compact", "no.tsv", tmp_path, options=ContrastiveOptions(), **common)
