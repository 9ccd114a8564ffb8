"""The embedding store: unit vectors, the contig names of their rows, and a manifest that ties them together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from workflow_lib.errors import InputError
from workflow_lib.files import atomic_open, sha256_lines
from workflow_lib.manifest import read_manifest, write_manifest

VECTORS_NAME, NAMES_NAME = "vectors.npy", "contigs.txt"


@dataclass(frozen=True)
class EmbeddingStore:
    """Vectors of named sequences.

    Attributes
    ----------
    vectors : float32 (n, d), C-contiguous, unit rows (a row of zeros: the sequence had nothing to embed).
    names : n names, in row order.
    manifest : embedder name, fingerprint, dim, names_sha256 and what the writer added.
    """

    vectors: np.ndarray
    names: list[str]
    manifest: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.vectors.dtype != np.float32:
            raise InputError(f"vectors are {self.vectors.dtype} {self.vectors.shape}, expected float32 (n, d)")
        if len(self.names) != len(self.vectors):
            raise InputError(f"{len(self.vectors)} vectors but {len(self.names)} names")

    def check_names(self, names: list[str], what: str) -> None:
        """Refuse to join rows with `names` (of the file `what`) unless they are the same in the same order."""
        if names == self.names:
            return
        missing = sorted(set(self.names) - set(names))[:3]
        extra = sorted(set(names) - set(self.names))[:3]
        raise InputError(
            f"{what} has {len(names)} rows, the embeddings have {len(self.names)}; "
            f"missing there: {missing or 'none'}; only there: {extra or 'none'}; or another order",
            remedy="both must come from the same contigs: delete the older of the two and run again",
        )


def write_store(folder: str | Path, store: EmbeddingStore, *, extra_files: list[str] = ()) -> None:
    """Write the store to `folder`; the manifest comes last and holds the checksums (`extra_files` too)."""
    folder = Path(folder)
    (folder / "manifest.json").unlink(missing_ok=True)
    write_array(folder / VECTORS_NAME, np.ascontiguousarray(store.vectors))
    with atomic_open(folder / NAMES_NAME) as handle:
        handle.writelines(f"{name}\n" for name in store.names)
    content = dict(
        store.manifest,
        n=len(store.names),
        dim=int(store.vectors.shape[1]),
        names_sha256=sha256_lines(store.names),
    )
    write_manifest(folder, content, checksums=[VECTORS_NAME, NAMES_NAME, *extra_files])


def write_array(path: Path, array: np.ndarray) -> None:
    """As `np.save`, which writes through C's buffers and so loses the error of a disk that fills up at the end."""
    with array_writer(path, array.dtype, array.shape) as write:
        write(array)


@contextmanager
def array_writer(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> Iterator[Callable[[np.ndarray], None]]:
    """Give a function that writes the rows of a .npy file, block by block, all of `shape` in the end."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with atomic_open(path, "wb") as handle:
        np.lib.format.write_array_header_1_0(handle, header)
        size = handle.tell() + math.prod(shape) * np.dtype(dtype).itemsize
        yield lambda rows: handle.write(rows.reshape(-1).view(np.uint8))
        assert handle.tell() == size, f"{handle.tell()} bytes written, expected {size}"


def read_store(folder: str | Path, *, mmap: bool = False, verify: bool = True) -> EmbeddingStore:
    """Read a store that `write_store` wrote; with `verify`, every checksum is checked.

    Raises
    ------
    InputError
        when the store is unfinished, damaged, or its rows and names do not belong together.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, verify=verify)
    remedy = f"delete {folder} and run again"
    try:
        vectors = np.load(folder / VECTORS_NAME, mmap_mode="r" if mmap else None)
        # Not splitlines: it also splits at characters that may stand in a name.
        names = (folder / NAMES_NAME).read_text(encoding="utf-8").split("\n")[:-1]
    except FileNotFoundError as error:
        raise InputError("missing, though there is a manifest", path=error.filename, remedy=remedy) from error
    except (ValueError, EOFError) as error:
        raise InputError(f"the vectors or names are damaged ({error})", path=folder, remedy=remedy) from error
    if manifest.get("names_sha256") != sha256_lines(names):
        raise InputError("the names do not match the manifest", path=folder / NAMES_NAME, remedy=remedy)
    return EmbeddingStore(vectors, names, manifest)
