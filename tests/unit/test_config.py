"""The configuration: the shipped file is valid, documented key by key, and faults are shown all at once."""

import copy

import pytest
import yaml

from workflow_lib.config import check_input_paths, convert_texts, validate_config
from workflow_lib.errors import FaultsError


@pytest.fixture
def schema(root):
    return root / "config/schemas/config.schema.yaml"


@pytest.fixture
def config(root):
    return yaml.safe_load((root / "config/config.yaml").read_text())


def keys(tree: dict, prefix: str = "") -> list[str]:
    found = []
    for key, value in tree.items():
        found += keys(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return found


def test_shipped_configuration_is_valid(config, schema):
    validate_config(config, schema)


def test_every_key_is_commented_in_the_file_and_explained_in_the_readme(root, config):
    readme = (root / "config/README.md").read_text()
    assert [key for key in keys(config) if f"`{key}`" not in readme] == []


def test_schema_requires_every_shipped_key(config, schema):
    for path in keys(config):
        broken = copy.deepcopy(config)
        *parents, last = path.split(".")
        section = broken
        for parent in parents:
            section = section[parent]
        del section[last]
        with pytest.raises(FaultsError, match=f"expected a key '{last}'"):
            validate_config(broken, schema)


def test_faults_come_together_and_name_the_nearest_key(config, schema):
    config["filter"]["min_lenght"] = 1000
    config["bin"]["min_bin_size"] = 0
    config["train"]["validation_pieces"] = 1
    config["novelty"]["alpha"] = "ten percent"
    with pytest.raises(FaultsError) as raised:
        validate_config(config, schema)
    text = str(raised.value)
    assert len(raised.value.faults) == 4
    assert "did you mean 'min_length'?" in text
    assert "bin.min_bin_size: found 0; expected at least 1" in text
    assert "train.validation_pieces: found 1; expected at least 2" in text
    assert "novelty.alpha: found 'ten percent'; expected type number" in text


def test_texts_of_the_command_line_get_their_types(config, schema):
    texts = copy.deepcopy(config)
    texts["bin"] |= {"min_bin_size": "5", "depth_weight": "0.25"}
    texts["bin"]["threshold"] |= {"method": "fixed", "value": "0.5", "labelled": "null"}
    texts["depth"]["keep_bam"] = "true"
    texts["report"]["title"] = "2026"
    texts |= {"reference": "null", "libraries": ""}
    convert_texts(texts, schema)
    validate_config(texts, schema)
    assert (texts["bin"]["min_bin_size"], texts["bin"]["depth_weight"]) == (5, 0.25)
    assert texts["bin"]["threshold"] == {"method": "fixed", "value": 0.5, "percentile": 70, "labelled": None}
    assert texts["depth"]["keep_bam"] is True
    assert texts["report"]["title"] == "2026"
    assert texts["reference"] is None and texts["libraries"] is None


def test_texts_in_lists_get_their_types(config, schema):
    config["scoreboard"] |= {"shots": ["1", "2"], "embedders": ["tnf", "123"]}
    config["benchmark"]["sets"][0] |= {"genomes": "7", "reads": "true"}
    config["benchmark"]["strain_identity"] = ["0.97", "0.98"]
    convert_texts(config, schema)
    validate_config(config, schema)
    assert config["scoreboard"]["shots"] == [1, 2] and config["scoreboard"]["embedders"] == ["tnf", "123"]
    assert config["benchmark"]["sets"][0]["genomes"] == 7 and config["benchmark"]["sets"][0]["reads"] is True
    assert config["benchmark"]["strain_identity"] == [0.97, 0.98]


def test_faults_of_list_items_say_where_and_what(config, schema):
    config["scoreboard"] |= {"shots": [1, "two", 0], "seeds": "some"}
    config["benchmark"]["sets"][1]["genomes"] = "few"
    config["scoreboard"]["embedders"] = ["tnf", "tnf"]
    convert_texts(config, schema)
    with pytest.raises(FaultsError) as raised:
        validate_config(config, schema)
    text = str(raised.value)
    assert "scoreboard.shots, item 2: found 'two'; expected type integer" in text
    assert "scoreboard.shots, item 3: found 0; expected at least 1" in text
    assert "benchmark.sets, item 2.genomes: found 'few'; expected type integer" in text
    assert "scoreboard.embedders: found ['tnf', 'tnf']; expected each item once" in text
    assert " not of type" not in text


@pytest.mark.parametrize(("text", "number"), [("1e-3", 0.001), ("5E-5", 5e-5), ("3e+0", 3)])
def test_numbers_with_an_exponent(config, schema, text, number):
    assert isinstance(yaml.safe_load(text), str)  # YAML 1.1 wants a point and a sign
    config["train"]["learning_rate"] = text
    convert_texts(config, schema)
    validate_config(config, schema)
    assert config["train"]["learning_rate"] == number


def test_whole_numbers_with_an_exponent(config, schema):
    config["train"]["steps"] = "2e4"
    convert_texts(config, schema)
    validate_config(config, schema)
    assert config["train"]["steps"] == 20000 and isinstance(config["train"]["steps"], int)


@pytest.mark.parametrize("text", ["many", "{", "[5]", "2.5", "1e-3", "1e", "e5", "1e5x"])
def test_a_text_of_another_type_is_still_a_fault(config, schema, text):
    config["bin"]["min_bin_size"] = text
    convert_texts(config, schema)
    with pytest.raises(FaultsError, match=r"bin\.min_bin_size: found .*expected type integer"):
        validate_config(config, schema)


@pytest.mark.parametrize(("method", "key"), [("fixed", "value"), ("percentile", "labelled")])
def test_a_threshold_method_needs_its_value(config, schema, method, key):
    config["bin"]["threshold"]["method"] = method
    with pytest.raises(FaultsError, match=f"bin.threshold.{key}: found nothing; expected .*method {method} needs"):
        validate_config(config, schema)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(config, schema, value):
    config["novelty"]["alpha"] = value
    with pytest.raises(FaultsError, match=f"novelty.alpha: found {value}; expected a finite number"):
        validate_config(config, schema)


def test_inputs_that_are_not_there_are_refused_all_at_once(config, tmp_path):
    present = tmp_path / "present.tsv"
    present.write_text("")
    config["bin"]["threshold"]["labelled"] = str(present)
    config["dereplicate"]["folders"] = [str(tmp_path)]
    check_input_paths(config)
    config["bin"]["threshold"]["labelled"] = str(tmp_path)
    config["markers"]["hmm"] = "no.hmm"
    config["checkm2"]["database"] = "no.dmnd"
    config["dereplicate"]["folders"] = [str(tmp_path), str(present)]
    with pytest.raises(FaultsError) as caught:
        check_input_paths(config)
    assert [(fault.column, fault.value) for fault in caught.value.faults] == [
        ("bin.threshold.labelled", str(tmp_path)),
        ("dereplicate.folders, item 2", str(present)),
        ("markers.hmm", "no.hmm"),
        ("checkm2.database", "no.dmnd"),
    ]
