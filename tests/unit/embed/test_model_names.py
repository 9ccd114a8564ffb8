"""Names of models in files and on pages."""

import pytest

from workflow_lib.embed.registry import name_models
from workflow_lib.errors import InputError


def test_names_of_models(tmp_path):
    for folder in ("a/model", "b/model"):
        (tmp_path / folder).mkdir(parents=True)
    one, two = str(tmp_path / "a/model"), str(tmp_path / "b/model")
    found = name_models(["tnf", "dnabert-s", one, "own/er", "dnabert-s"])
    assert found == {"tnf": "tnf", "dnabert-s": "dnabert-s", "model": one, "own--er": "own/er"}
    with pytest.raises(InputError, match="two embedders would be called 'model'"):
        name_models([one, two])
