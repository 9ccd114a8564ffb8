"""Models of the Hugging Face hub: which names stand for which, and how one comes onto this machine, pinned."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path

from workflow_lib.embed.model_files import SOURCE_NAME, choose_files, remove_other_files
from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open, sha256_file

logger = logging.getLogger(__name__)

# Name -> repository. Model cards: huggingface.co/<repository>.
HUB_MODELS = {
    "dnabert-s": "zhihan1996/DNABERT-S",
    "dnabert-2": "zhihan1996/DNABERT-2-117M",
    "hyenadna": "LongSafari/hyenadna-medium-450k-seqlen-hf",
    "nt": "InstaDeepAI/nucleotide-transformer-v2-100m-multi-species",
    "metaberta": "MsAlEhR/MetaBERTa-bigbird-gene",
}
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_KEYS = "the model's name (embed.model, or train.model)"
_AIR_GAPPED = (
    "where there is a network: `snakemake fetch_model` downloads embed.model; without one: copy the model's folder "
    "(config.json, tokenizer, weights) to this machine and give its path for the name (embed.model, or train.model)"
)


def hub_repository(model: str) -> str | None:
    """The hub repository that a model's name or id stands for; None for a local folder and other names."""
    if Path(model).is_dir():
        return None
    if model in HUB_MODELS:
        return HUB_MODELS[model]
    return model if _REPOSITORY.fullmatch(model) else None


def model_folder_name(model: str) -> str:
    """The name of a model's folder under resources/models: 'owner--name' of its repository."""
    return (hub_repository(model) or model).strip("/").replace("/", "--")


def locate_model(model: str, *, revision: str | None = None, trust_remote_code: bool = False) -> Path:
    """The local folder of a hub model, from the hub's cache on this machine or downloaded into it.

    Raises
    ------
    InputError
        when the model is not here and cannot be downloaded.
    """
    repository = hub_repository(model)
    if repository is None:
        raise InputError(f"no embedder, folder or hub model named {model!r}", remedy=f"correct {_KEYS}")
    from huggingface_hub import hf_hub_download

    try:
        # Not snapshot_download: it takes a snapshot without the files that nobody needs for unfinished.
        folder = Path(hf_hub_download(repository, "config.json", revision=revision, local_files_only=True)).parent
        if _has_weights(choose_files([path.name for path in folder.iterdir()])):
            return folder
    except Exception as error:  # not in the cache
        logger.debug("%s is not in the hub's cache: %s", repository, error)
    _, names = _list_files(repository, revision, trust_remote_code)
    # By the revision's own name, so that the cache knows it when there is no network.
    return _download(repository, revision, names)


def fetch_model(
    model: str, folder: str | Path, *, revision: str | None = None, trust_remote_code: bool = False
) -> dict:
    """Download a hub model into a folder, at one commit, and record it in source.json (written last).

    Parameters
    ----------
    model : a key of `HUB_MODELS` or 'owner/name'.
    revision : branch, tag or commit; None: the newest of the default branch.
    trust_remote_code : download the model's program code too.

    Returns
    -------
    The record: model, repository, revision (as asked for), commit, and SHA-256 of each file.

    Raises
    ------
    InputError
        when there is no such model or revision, or no way to the hub.
    """
    repository = hub_repository(model)
    if repository is None:
        raise InputError(
            f"embed.model is {model!r}: nothing to fetch, it is no model of the hub",
            remedy=f"set embed.model to one of {', '.join(HUB_MODELS)} or to owner/name",
        )
    commit, names = _list_files(repository, revision, trust_remote_code)
    folder = Path(folder)
    (folder / SOURCE_NAME).unlink(missing_ok=True)
    _download(repository, commit, names, local_dir=folder)
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the downloader's notes
    remove_other_files(folder, names, remote_code=True)  # of another revision
    record = {"model": model, "repository": repository, "revision": revision, "commit": commit}
    with atomic_open(folder / SOURCE_NAME) as handle:
        files = {name: sha256_file(folder / name) for name in names}
        json.dump({**record, "files": files}, handle, indent=2, sort_keys=True)
        handle.write("\n")
    logger.info("%s: %d files of %s at commit %s in %s", model, len(names), repository, commit, folder)
    return record


def _list_files(repository: str, revision: str | None, trust_remote_code: bool) -> tuple[str, list[str]]:
    """The commit of a revision and the files of it that are needed."""
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(repository, revision=revision)
    except Exception as error:
        raise _explain(repository, revision, error) from error
    names = choose_files([sibling.rfilename for sibling in info.siblings], remote_code=trust_remote_code)
    if "config.json" not in names or not _has_weights(names):
        raise InputError(
            f"{repository} holds no config.json, or no model.safetensors or pytorch_model.bin",
            remedy="choose a repository with weights for transformers",
        )
    return info.sha, names


def _has_weights(names: list[str]) -> bool:
    return any(name.endswith((".safetensors", ".bin")) for name in names)


def _download(repository: str, revision: str | None, names: list[str], *, local_dir: Path | None = None) -> Path:
    """Download files into the hub's cache, or into a folder; return where they are."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=names, local_dir=local_dir))
    except Exception as error:
        if getattr(error, "errno", None) and not isinstance(
            error, ConnectionError
        ):  # the disk, not the network: explained where scripts are run
            raise
        raise _explain(repository, revision, error) from error


def _explain(repository: str, revision: str | None, error: Exception) -> InputError:
    """What an error of the hub's library means to a user."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, GatedRepoError):
        return InputError(
            f"{repository} is open only to those who accepted its terms on the hub ({reason})",
            remedy="accept them there, log in with `hf auth login`, and fetch again",
        )
    if isinstance(error, RevisionNotFoundError):
        return InputError(f"{repository} has no revision {revision!r} on the hub", remedy="set embed.revision")
    if isinstance(error, RepositoryNotFoundError):
        return InputError(f"there is no model {repository} on the hub ({reason})", remedy=f"correct {_KEYS}")
    cause = "the hub refused" if isinstance(error, HfHubHTTPError) else "no network, or no way to the hub"
    return InputError(
        f"{repository} is no folder, is not on this machine, and cannot be downloaded: {cause} ({reason})",
        remedy=_AIR_GAPPED,
    )
