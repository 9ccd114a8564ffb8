"""Merge index files into one on disk: whole vectors and inverted lists go from file to file, never into memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import faiss
import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open
from workflow_lib.index.approximate import read_faiss
from workflow_lib.index.read_ahead import expect_scans

_SIZE_BYTES = 8  # of a vector's length, before the vector
_K_FACTOR_BYTES = 4  # behind the two indexes of a refined one
_BLOCK_BYTES = 1 << 26


def merge_files(path: str | Path, trained: faiss.Index, parts: Sequence[str | Path]) -> None:
    """Write to `path` the index of the rows of all parts, in their order; the same bytes as if one job had added them.

    Parameters
    ----------
    trained : empty; it is used up.
    parts : index files, each filled from a copy of `trained`.

    Memory: codes, where they are no whole vectors and in no inverted list; those of `x4fs` lists three times; else a
    list of all parts.

    Raises
    ------
    InputError
        when a part cannot be read, or this FAISS writes its files in another way.
    """
    indexes = [read_faiss(Path(part)) for part in parts]
    for index in indexes:
        expect_scans(index, refined=True)
    with atomic_open(path, "wb") as handle:
        _write_merged(handle, trained, indexes)


def can_merge(index: faiss.Index) -> bool:
    """Whether parts filled from copies of an index can be merged: not graphs."""
    kind = faiss.downcast_index(index)  # another name: what the caller gave must live on
    if isinstance(kind, faiss.IndexPreTransform):
        return can_merge(kind.index)
    if isinstance(kind, faiss.IndexRefine):
        return can_merge(kind.base_index)
    return not isinstance(kind, faiss.IndexHNSW)


def clear_rows(index: faiss.Index) -> None:
    """Remove all rows from an index, also where they are memory-mapped, and keep what it was trained to."""
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        clear_rows(index.index)
    elif isinstance(index, faiss.IndexRefine):
        clear_rows(index.base_index)
        clear_rows(index.refine_index)
    elif _has_lists(index):
        lists = faiss.ArrayInvertedLists(index.nlist, index.code_size)
        index.replace_invlists(lists, True)
        lists.this.disown()  # the index owns them now
    elif isinstance(index, faiss.IndexFlatCodes):
        index.codes = faiss.MaybeOwnedVectorUInt8()
    else:
        index.reset()
    index.ntotal = 0


def _write_merged(handle: BinaryIO, index: faiss.Index, parts: list[faiss.Index]) -> None:
    index, parts = faiss.downcast_index(index), [faiss.downcast_index(part) for part in parts]
    n = sum(part.ntotal for part in parts)
    if isinstance(index, faiss.IndexPreTransform):
        index.ntotal = n
        handle.write(_cut(_serialise(index), _serialise(index.index)))
        _write_merged(handle, index.index, [part.index for part in parts])
    elif isinstance(index, faiss.IndexRefine):
        index.ntotal = n
        content = _serialise(index)
        handle.write(_cut(content[:-_K_FACTOR_BYTES], _serialise(index.base_index) + _serialise(index.refine_index)))
        _write_merged(handle, index.base_index, [part.base_index for part in parts])
        _write_merged(handle, index.refine_index, [part.refine_index for part in parts])
        handle.write(content[-_K_FACTOR_BYTES:])
    elif _has_lists(index):
        index.ntotal = n
        _write_lists(handle, index, parts)
    elif isinstance(index, faiss.IndexFlat):
        index.ntotal = n
        handle.write(_cut(_serialise(index), bytes(_SIZE_BYTES)))
        handle.write(np.uint64(n * index.d).tobytes())
        for part in parts:
            codes = _codes(part)
            for start in range(0, len(codes), _BLOCK_BYTES):
                handle.write(codes[start : start + _BLOCK_BYTES])
    else:
        if isinstance(index, faiss.IndexIVFPQFastScan):
            index = _join_blocks(index, parts)
        else:
            for part in parts:
                _append_codes(index, part)
        faiss.write_index(index, faiss.PyCallbackIOWriter(handle.write))


def _write_lists(handle: BinaryIO, index: faiss.IndexIVF, parts: list[faiss.IndexIVF]) -> None:
    """Lists of all parts one after the other, as FAISS writes lists; rows are numbered through."""
    head = b"ilar" + np.array([index.nlist, index.code_size], dtype=np.uint64).tobytes()
    handle.write(_cut(_serialise(index), head + b"sprs" + bytes(_SIZE_BYTES)))
    sizes = np.array([[part.invlists.list_size(i) for i in range(index.nlist)] for part in parts], dtype=np.uint64)
    totals = sizes.sum(axis=0)
    filled = np.flatnonzero(totals)
    if len(filled) > index.nlist // 2:
        kind, written = b"full", totals
    else:
        kind, written = b"sprs", np.stack([filled.astype(np.uint64), totals[filled]], axis=1).ravel()
    handle.write(head + kind + np.uint64(len(written)).tobytes() + written.tobytes())
    firsts = np.cumsum([0, *(part.ntotal for part in parts)])
    for number in filled.tolist():
        held = [(parts[i].invlists, int(sizes[i, number]), firsts[i]) for i in np.flatnonzero(sizes[:, number])]
        for lists, size, _ in held:
            handle.write(faiss.rev_swig_ptr(lists.get_codes(number), size * index.code_size))
        for lists, size, first in held:
            handle.write((faiss.rev_swig_ptr(lists.get_ids(number), size) + first).tobytes())


def _join_blocks(index: faiss.IndexIVFPQFastScan, parts: list[faiss.IndexIVFPQFastScan]) -> faiss.IndexIVFPQFastScan:
    """One index of fast-scan lists: code by code, as FAISS 1.15 writes beyond their blocks when it merges them."""
    joined = faiss.IndexIVFPQ(index.quantizer, index.d, index.nlist, index.pq.M, index.pq.nbits, index.metric_type)
    joined.pq, joined.by_residual, joined.is_trained = index.pq, index.by_residual, True
    for part in parts:
        lists = faiss.ArrayInvertedLists(part.nlist, part.code_size)
        part.orig_invlists = lists
        part.reconstruct_orig_invlists()
        part.orig_invlists = None  # it is this function's
        for number in range(part.nlist):
            if size := lists.list_size(number):
                rows = faiss.rev_swig_ptr(lists.get_ids(number), size) + joined.ntotal
                joined.invlists.add_entries(number, size, faiss.swig_ptr(rows), lists.get_codes(number))
        joined.ntotal += part.ntotal
    return faiss.IndexIVFPQFastScan(joined, index.bbs)


def _append_codes(index: faiss.Index, part: faiss.Index) -> None:
    if isinstance(index, faiss.IndexFlatCodes):  # FAISS' own merge cannot empty a part that is memory-mapped
        old = index.codes.size()
        index.codes.resize(old + part.codes.size())
        _codes(index)[old:] = _codes(part)
        index.ntotal += part.ntotal
    else:
        index.merge_from(part)


def _has_lists(index: faiss.Index) -> bool:
    """Whether rows are in inverted lists that are plain arrays; those of `x4fs` are blocks."""
    return isinstance(index, faiss.IndexIVF) and isinstance(
        faiss.downcast_InvertedLists(index.invlists), faiss.ArrayInvertedLists
    )


def _codes(index: faiss.IndexFlatCodes) -> np.ndarray:
    """uint8 view of all codes."""
    size = index.codes.size()
    return faiss.rev_swig_ptr(index.codes.data(), size) if size else np.empty(0, dtype=np.uint8)


def _serialise(index: faiss.Index) -> bytes:
    return faiss.serialize_index(index).tobytes()


def _cut(content: bytes, end: bytes) -> bytes:
    """What is before `end`, which an index file must end with."""
    if not content.endswith(end):
        raise InputError(
            f"FAISS {faiss.__version__} writes index files in another way than novabin merges them",
            remedy="install the version of requirements.lock, or set index.shard_genomes above the number of genomes",
        )
    return content[: -len(end)]
