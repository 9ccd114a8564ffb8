"""Kinds of index by name: the sizes that follow from n and d, search parameters, what a distance means."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isqrt, log2

from workflow_lib.errors import InputError

EXACT = ("Flat", "Torch")  # in FAISS, and in PyTorch
SCANN = "ScaNN"
# Search parameters of the configuration -> their names in faiss.ParameterSpace.
PARAMETERS = {"nprobe": "nprobe", "ef_search": "efSearch", "k_factor": "k_factor_rf"}

_TRAINING_ROWS = 39  # a centroid: FAISS warns below (Clustering.min_points_per_centroid)
_MOST_TRAINING_ROWS = 256  # a centroid: FAISS' k-means uses no more
_TRANSFORMATION_ROWS = 100_000  # that train what has no centroids
_AUTO_FLAT_BYTES = 4 << 30  # of vectors, up to which `auto` searches exactly
_AUTO_LISTS_BYTES = 64 << 30  # and up to which it keeps them whole
_COLUMNS_A_CODE = 4  # columns that one 4-bit code stands for: a bit a column
_HNSW_LINKS = 32  # FAISS' own default
_MAX_IMI_BITS = 10
_ANY_SIZE = 2**20  # windows that every kind can be made of
# One share of the lists for all: sets on which the nearest taxon is missing need more lists than known queries do.
_PROBED_SHARE = 8
_PARAMETER_DEFAULTS = {"ef_search": 256, "k_factor": 16}
_REDUCE, _LISTS, _CODES, _REFINE = "reduce", "lists", "codes", "refine"


@dataclass(frozen=True)
class Plan:
    """An index kind with everything chosen.

    Attributes
    ----------
    factory : as FAISS' index_factory takes it; `Flat`, `Torch` and `ScaNN` stand for themselves.
    parameters : of the search; the keys of `PARAMETERS` that the kind has.
    distances : what a reported distance is, in words.
    true_distances : whether it is the chord of the row that is reported (so that only which rows are found can err).
    min_rows : fewer windows cannot train it. good_rows : fewer train it badly.
    """

    factory: str
    parameters: dict[str, int] = field(default_factory=dict)
    distances: str = "chord"
    true_distances: bool = True
    min_rows: int = 1
    good_rows: int = 1

    @property
    def is_exact(self) -> bool:
        """Whether the nearest windows are found for certain."""
        return self.factory in EXACT

    @property
    def training_rows(self) -> int:
        """Windows, at most, that an index is trained on: 256 a centroid, or 100,000; an exact one learns nothing."""
        rows = self.good_rows // _TRAINING_ROWS * _MOST_TRAINING_ROWS
        return 1 if self.is_exact else max(rows, _TRANSFORMATION_ROWS)


@dataclass
class _State:
    """What the components of a factory string have settled so far."""

    n: int
    dim: int
    parameters: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    min_rows: int = 1
    good_rows: int = 1

    def centroids(self, count: int) -> None:
        self.min_rows = max(self.min_rows, count)
        self.good_rows = max(self.good_rows, _TRAINING_ROWS * count)


def plan_index(factory: str, n: int, dim: int, parameters: dict[str, int | None] | None = None) -> Plan:
    """Choose sizes and search parameters of an index kind for n windows of `dim` columns.

    Parameters
    ----------
    factory : `auto`, `Flat`, `Torch`, `ScaNN`, or components of FAISS' index factory with commas between: at most one
        that changes the columns (PCA64, PCAR64, PCAW64, PCAWR64, RR64, OPQ16, OPQ16_64, OPQ*), at most one that cuts
        the space (IVF4096, IVF*, IMI2x10, IMI2x*, HNSW32, HNSW*), one that stores (Flat, SQ8, PQ16, PQ16x4fs, PQ*x4fs,
        PQ16x4fsr, PQ*x4fsr, RaBitQ, RaBitQ4), and RFlat, which keeps the vectors too and measures the best again. `*`:
        a size that follows from n and dim.
    parameters : nprobe, ef_search, k_factor; None or absent: chosen here.

    Raises
    ------
    InputError
        for anything else, sizes that do not fit, or parameters below 1.
    """
    if factory == "auto":
        factory = _by_size(n, dim)
    given = {key: value for key, value in (parameters or {}).items() if value is not None}
    for key, value in given.items():
        if key not in PARAMETERS or value < 1:
            raise InputError(f"search parameter {key} = {value}, expected {', '.join(PARAMETERS)} of at least 1")
    if factory in EXACT:
        return Plan(factory)
    if factory == SCANN:
        return Plan(SCANN, _chosen({"nprobe": _probed(count_lists(n)), "k_factor": 16}, given), min_rows=2)
    state, parts, order = _State(n, dim), [], []
    for part in factory.split(","):
        kind, resolved = _resolve(part, state, factory)
        parts.append(resolved)
        order.append(kind)
    graph = any(part.startswith("HNSW") for part in parts)
    if order not in _ORDERS or (
        graph and any(part not in ("Flat", "RFlat") for part in parts[order.index(_LISTS) + 1 :])
    ):
        raise _unknown(factory)
    if _LISTS not in order and any(part.endswith("x4fsr") for part in parts):
        raise InputError(
            f"index kind {factory!r}: codes of residuals (x4fsr) need lists, of whose centres the residuals are",
            remedy=f"set index.factory to {factory.replace('x4fsr', 'x4fs')}, or put IVF* or IMI2x* before the codes",
        )
    if order[-1] == _LISTS and not graph:
        parts.append("Flat")  # cells that hold nothing find nothing
    refined = order[-1] == _REFINE
    return Plan(
        factory=",".join(parts),
        parameters=_chosen(state.parameters, given),
        distances="chord" if refined or not state.notes else f"chord, approximate: {', '.join(state.notes)}",
        true_distances=refined or not state.notes,
        min_rows=state.min_rows,
        good_rows=state.good_rows,
    )


def count_lists(n: int) -> int:
    """A power of two near 4 sqrt(n) (FAISS' guideline), with windows enough to train each."""
    wanted = max(4 * isqrt(max(n, 1)), 1)
    return 2 ** max(0, min(round(log2(wanted)), int(log2(max(n // _TRAINING_ROWS, 1)))))


_ORDERS = [
    [*reduce, *lists, *codes, *refine]
    for reduce in ([], [_REDUCE])
    for lists, codes, refine in (
        ([], [_CODES], []),
        ([], [_CODES], [_REFINE]),
        ([_LISTS], [_CODES], []),
        ([_LISTS], [_CODES], [_REFINE]),
        ([_LISTS], [], []),
    )
]


def check_factory(factory: str) -> None:
    """Refuse a kind of index that there is not, before anything is known of its windows."""
    # As many columns as can be cut into every number of parts that is named.
    columns = math.lcm(1024, *(int(number) or 1 for number in re.findall(r"\d+", factory)))
    plan_index(factory, _ANY_SIZE, columns)


def index_file(factory: str) -> str:
    """Name of the file in which a kind of index is kept."""
    return "index.scann.tar" if factory == SCANN else "index.faiss"


def can_fill_in_parts(factory: str) -> bool:
    """Whether parts of such an index can be filled by jobs of their own and merged (`disk_merge.can_merge`)."""
    return "HNSW" not in factory and factory not in ("Torch", SCANN)


def _by_size(n: int, dim: int) -> str:
    n_bytes = 4 * n * dim
    if n_bytes <= _AUTO_FLAT_BYTES:
        return "Flat"
    return "IVF*,Flat" if n_bytes <= _AUTO_LISTS_BYTES else "IVF*,SQ8"


def _chosen(defaults: dict[str, int], given: dict[str, int]) -> dict[str, int]:
    return {key: int(given.get(key, value)) for key, value in defaults.items()}


def _probed(n_lists: int) -> int:
    return max(1, -(-n_lists // _PROBED_SHARE))


def _resolve(part: str, state: _State, factory: str) -> tuple[str, str]:
    for pattern, kind, handle in _COMPONENTS:
        if match := re.fullmatch(pattern, part):
            return kind, handle(match, state) or part
    raise _unknown(factory)


def _unknown(factory: str) -> InputError:
    return InputError(
        f"no index kind {factory!r}",
        remedy="set index.factory to auto, Flat, Torch, ScaNN, or FAISS components such as `IVF*,Flat`, "
        "`PCAWR64,IVF*,Flat`, `OPQ*,IVF*,PQ*x4fsr,RFlat`, `HNSW*` (config/README.md lists them)",
    )


def _reduce(match: re.Match, state: _State) -> None:
    name, columns = match[1], int(match[2])
    if columns > state.dim:
        raise InputError(f"{match[0]} of {state.dim} columns, expected at most as many", remedy="set index.factory")
    if name.startswith("PCA"):
        state.min_rows = max(state.min_rows, columns)
    if columns < state.dim or "W" in name:
        state.notes.append(f"after {match[0]}")
    state.dim = columns


def _opq(match: re.Match, state: _State) -> str:
    if match[1] == "*":
        codes = max(1, state.dim // _COLUMNS_A_CODE)
        columns = codes * min(_COLUMNS_A_CODE, state.dim)
    else:
        codes = int(match[1])
        columns = int(match[2] or state.dim)
    if columns % codes or columns > state.dim:
        raise InputError(f"{match[0]}: {columns} columns of {state.dim} cannot be cut into {codes} equal parts")
    state.notes += [f"after OPQ to {columns} columns"] if columns < state.dim else []
    state.min_rows = max(state.min_rows, columns)
    state.centroids(256)  # OPQ is trained with 8-bit codes
    state.dim = columns
    return f"OPQ{codes}_{columns}"


def _ivf(match: re.Match, state: _State) -> str:
    n_lists = count_lists(state.n) if match[1] == "*" else int(match[1])
    state.centroids(n_lists)
    state.parameters["nprobe"] = _probed(n_lists)
    return f"IVF{n_lists}"


def _imi(match: re.Match, state: _State) -> str:
    if state.dim % 2:
        raise InputError(
            f"{match[0]} halves the columns, and there are {state.dim}", remedy="reduce them: PCA64,IMI2x*"
        )
    fitting = int(log2(max(state.n // _TRAINING_ROWS, 2)))
    bits = min(fitting, _MAX_IMI_BITS) if match[1] == "*" else int(match[1])
    state.centroids(2**bits)
    # Of 4^bits cells most are empty where windows are fewer.
    state.parameters["nprobe"] = _probed(min(4**bits, state.n))
    return f"IMI2x{bits}"


def _hnsw(match: re.Match, state: _State) -> str:
    state.parameters["ef_search"] = _PARAMETER_DEFAULTS["ef_search"]
    return f"HNSW{_HNSW_LINKS if match[1] == '*' else match[1]}"


def _pq(match: re.Match, state: _State) -> str:
    if match[1] == "*":
        least = -(-state.dim // _COLUMNS_A_CODE)
        codes = next(size for size in range(least, state.dim + 1) if state.dim % size == 0)
    else:
        codes = int(match[1])
    if codes < 1 or state.dim % codes:
        raise InputError(f"{match[0]}: {state.dim} columns cannot be cut into {codes} equal parts")
    bits = match[2] or ""
    state.centroids(16 if bits else 256)
    state.notes.append(f"codes of {codes * (4 if bits else 8) / 8:g} bytes")
    return f"PQ{codes}{bits}"


def _lossy(match: re.Match, state: _State) -> None:
    state.notes.append(f"codes of {match[0]}")


def _refine(match: re.Match, state: _State) -> None:
    state.parameters["k_factor"] = _PARAMETER_DEFAULTS["k_factor"]


_NUMBER = r"([1-9][0-9]*)"
_SIZE = r"([1-9][0-9]*|\*)"
_COMPONENTS: list[tuple[str, str, Callable[[re.Match, _State], str | None]]] = [
    (rf"(PCA|PCAR|PCAW|PCAWR|RR){_NUMBER}", _REDUCE, _reduce),
    (rf"OPQ{_SIZE}(?:_{_NUMBER})?", _REDUCE, _opq),
    (rf"IVF{_SIZE}", _LISTS, _ivf),
    (rf"IMI2x{_SIZE}", _LISTS, _imi),
    (rf"HNSW{_SIZE}", _LISTS, _hnsw),
    (r"Flat", _CODES, lambda match, state: None),
    (rf"PQ{_SIZE}(x4fsr?)?", _CODES, _pq),
    (r"SQ8|RaBitQ[2-8]?", _CODES, _lossy),
    (r"RFlat", _REFINE, _refine),
]
