"""The files of a model folder: which of them decide a vector, their hashes, and where they came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path

from workflow_lib.errors import InputError
from workflow_lib.files import remove_temporaries, sha256_file

SOURCE_NAME = "source.json"  # written by fetch_model, last
TOKENIZER_FILES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "tokenizer.model", "spiece.model",
    "sentencepiece.bpe.model",
)  # fmt: skip
_TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_INDEX = ".index.json"
_WEIGHTS = (
    ("model.safetensors",), ("model.safetensors.index.json", "model-*.safetensors"),
    ("pytorch_model.bin",), ("pytorch_model.bin.index.json", "pytorch_model-*.bin"),
)  # fmt: skip


def choose_files(names: list[str], *, remote_code: bool = False) -> list[str]:
    """Of the file names of a model folder or repository those that are needed: the first kind of weights only.

    Parameters
    ----------
    remote_code : the model's program code too.
    """
    present = set(names)
    chosen = [name for name in ("config.json", *TOKENIZER_FILES, *_TOKENIZER_SETTINGS) if name in present]
    for index_or_file, *patterns in _WEIGHTS:
        if index_or_file in present:
            chosen.append(index_or_file)
            chosen += sorted(name for name in present for pattern in patterns if Path(name).match(pattern))
            break
    if remote_code:
        chosen += sorted(name for name in present if name.endswith(".py"))
    return chosen


def remove_other_files(folder: str | Path, kept: Collection[str], *, remote_code: bool = False) -> None:
    """Remove from a folder, into which a model was written, the files of another that it held, and temporary ones.

    A file of another model that stays may be read with this one's: other vectors, or a model that cannot be loaded.

    Parameters
    ----------
    kept : names of the files that were written.
    remote_code : program code of the other model too.
    """
    folder = Path(folder)
    parts = [pattern for kind in _WEIGHTS for pattern in kind]
    patterns = ["config.json", *TOKENIZER_FILES, *_TOKENIZER_SETTINGS, *parts, SOURCE_NAME, *["*.py"] * remote_code]
    for path in [path for path in folder.iterdir() if path.is_file() and path.name not in kept]:
        if any(path.match(pattern) for pattern in patterns):
            path.unlink()
    remove_temporaries(folder)


def _folder_files(folder: Path, remote_code: bool) -> list[str]:
    present = {path.name for path in folder.iterdir() if path.is_file()}
    chosen = choose_files(list(present), remote_code=remote_code)
    shards = [file for name in chosen if name.endswith(_INDEX) for file in _read_index(folder / name)]
    return list(dict.fromkeys(chosen + sorted(present.intersection(shards))))


def _read_index(path: Path) -> list[str]:
    """The files that an index of weights names, whatever they are called; none of a damaged one, which cannot load."""
    try:
        return [str(file) for file in json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def hash_model_files(folder: str | Path, *, remote_code: bool = False) -> dict[str, str]:
    """SHA-256 of each file that decides a vector: configuration, tokenizer, weights, and code that is run."""
    folder = Path(folder)
    return {name: sha256_file(folder / name) for name in _folder_files(folder, remote_code)}


def weights_mb(model: str | Path) -> float | None:
    """Size in MB of the weights of a model folder; None where it is no folder or has none."""
    if not Path(model).is_dir():
        return None
    names = [name for name in _folder_files(Path(model), False) if name.endswith((".safetensors", ".bin"))]
    return sum((Path(model) / name).stat().st_size for name in names) / 1e6 or None


def model_state(path: str | Path | None) -> str:
    """Twelve hex digits of the names, sizes and times of a model folder's files or of one file; "" where none is.

    Cheap enough for each start of the workflow; rules carry it in `params`, so that a model exchanged under the same
    path is embedded anew. Whether vectors differ is decided by the fingerprint, which reads the files.
    """
    if path is None or not Path(path).exists():
        return ""
    path = Path(path)
    files = [path / name for name in _folder_files(path, True)] if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file.name}\t{status.st_size}\t{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def read_source(folder: str | Path) -> dict:
    """What `fetch_model` recorded beside a model (model, repository, revision, commit); {} for a user's own folder."""
    path = Path(folder) / SOURCE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"not a JSON file ({error})", path=path, remedy="delete the folder and fetch again") from error
    return {key: content.get(key) for key in ("model", "repository", "revision", "commit")}
