"""Have the system read ahead in memory-mapped index files: FAISS tells it not to, and it then reads page by page."""

from __future__ import annotations

import ctypes
import mmap

import faiss


def expect_scans(index: faiss.Index, *, refined: bool = False) -> None:
    """Lists and codes of a memory-mapped index will be read in order; no effect on what is in memory.

    `refined`: also the whole vectors behind codes, of which a search reads a few rows here and there. Rows of graphs
    are always read so.
    """
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        expect_scans(index.index)
    elif isinstance(index, faiss.IndexRefine):  # never within another one
        expect_scans(index.base_index)
        if refined:
            expect_scans(index.refine_index)
    elif isinstance(index, faiss.IndexIVF):
        lists = faiss.downcast_InvertedLists(index.invlists)
        filled = [number for number in range(index.nlist) if lists.list_size(number)]
        if filled and isinstance(lists, faiss.ArrayInvertedLists):
            # One after the other in the file, each its codes and then its rows' numbers.
            _advise(int(lists.get_codes(filled[0])), int(lists.get_ids(filled[-1])))
    elif isinstance(index, faiss.IndexFlatCodes) and index.codes.size():
        first = int(index.codes.data())
        _advise(first, first + index.codes.size())


def _advise(first: int, last: int) -> None:
    """Read ahead between two addresses; a system that has no such advice does without."""
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    if advise is not None and last > first:
        first -= first % mmap.PAGESIZE
        advise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), ctypes.c_int(mmap.MADV_NORMAL))
