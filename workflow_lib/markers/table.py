"""The table of marker genes that novabin ships: single-copy families and the amino-acid k-mers that tell them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_lib.embed.small_model import read_small_model, write_small_model
from workflow_lib.errors import InputError

SHIPPED = Path(__file__).parents[1] / "weights" / "markers"
K = 5  # residues
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
N_CODES = len(RESIDUES) ** K
_MOST_FAMILIES = 255
_MODEL_TYPE, _VERSION = "markers", 2
_REMEDY = "install novabin again"


@dataclass(frozen=True)
class MarkerTable:
    """Amino-acid k-mers by which the genes of some single-copy families are told.

    Attributes
    ----------
    families : names of the m families, at most 255.
    lengths : int32 (m,) residues of a typical gene.
    thresholds : float32 (m,) score from which a gene counts.
    codes : int64 (n,) k-mers, ascending: residues as digits in base 20, in the order of `RESIDUES`.
    family : uint8 (n,) the family of each k-mer.
    place : int16 (n,) where in the family it lies, residues from the start.
    weight : float32 (n,) logarithm of how much more frequent it is there than elsewhere.
    archaeal : bool (m,) families that archaea have.
    """

    families: list[str]
    lengths: np.ndarray
    thresholds: np.ndarray
    codes: np.ndarray
    family: np.ndarray
    place: np.ndarray
    weight: np.ndarray
    archaeal: np.ndarray

    def __post_init__(self) -> None:
        n, m = len(self.codes), len(self.families)
        if not 0 < m <= _MOST_FAMILIES or len(set(self.families)) < m:
            raise InputError(
                f"a table of marker genes has {m} families, expected 1 to {_MOST_FAMILIES} with distinct names"
            )
        of_families, of_codes = (self.lengths, self.thresholds, self.archaeal), (self.family, self.place, self.weight)
        if any(x.shape != (m,) for x in of_families) or any(len(x) != n for x in of_codes):
            raise InputError("the columns of the table of marker genes are not of one length")
        inside = not n or (self.codes[0] >= 0 and self.codes[-1] < N_CODES and self.family.max() < m)
        if not inside or (np.diff(self.codes) <= 0).any():
            raise InputError("the k-mers of the table of marker genes are not ascending, or out of range")


def save_table(folder: str | Path, table: MarkerTable, facts: dict) -> None:
    """Write a table to a folder; `facts` enter its config.json."""
    tensors = {
        "lengths": table.lengths, "thresholds": table.thresholds, "codes": table.codes.astype(np.int32),
        "family": table.family, "place": table.place, "weight": table.weight.astype(np.float16),
        "archaeal": table.archaeal.astype(np.uint8),
    }  # fmt: skip
    config = {**facts, "model_type": _MODEL_TYPE, "version": _VERSION, "families": table.families}
    write_small_model(folder, config, tensors)


def load_table(folder: str | Path = SHIPPED) -> MarkerTable:
    """The table of a folder, the shipped one unless another is given.

    Raises
    ------
    InputError
        when a file is missing, damaged or of another version, or the columns do not fit one another.
    """
    names = ("lengths", "thresholds", "codes", "family", "place", "weight", "archaeal")
    shapes = dict.fromkeys(names, (None,))
    tensors = read_small_model(folder, kind=_MODEL_TYPE, version=_VERSION, shapes=shapes, remedy=_REMEDY)
    families = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")).get("families")
    if not isinstance(families, list) or not all(isinstance(name, str) for name in families):
        raise InputError("its config.json names no families", path=folder, remedy=_REMEDY)
    return MarkerTable(
        families, tensors["lengths"].astype(np.int32), tensors["thresholds"].astype(np.float32),
        tensors["codes"].astype(np.int64),
        tensors["family"].astype(np.uint8), tensors["place"].astype(np.int16), tensors["weight"].astype(np.float32),
        tensors["archaeal"].astype(bool),
    )  # fmt: skip
