"""The version of a stage: a hash of the code that decides its result."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent
_WEIGHTS = {
    "embed": "weights/compact",
    "markers": "weights/markers",
}  # stage -> folder of the model that is shipped for it
_NO_DATA = (".py", ".pyc", ".nbi", ".nbc")


@cache
def stage_version(stage: str) -> str:
    """Twelve hex digits that change when the code of a stage, or library code that it imports, changes.

    Of Python code the syntax tree is hashed, so that comments and layout do not count; of other files in the stage's
    folder (templates) and of the weights that are shipped for it the bytes. Rules carry it in `params`: Snakemake then
    reruns the stage after an update of the library, which it would not notice otherwise.
    """
    folder = _PACKAGE / stage
    if not folder.is_dir():
        raise ValueError(f"no stage named {stage!r} in {_PACKAGE}")
    pending, seen = sorted(folder.rglob("*.py")), set()
    while pending:
        path = pending.pop()
        if path not in seen:
            seen.add(path)
            pending.extend(_imported_files(path))
    folders = [folder, _PACKAGE / _WEIGHTS[stage]] if stage in _WEIGHTS else [folder]
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    data = {path for path in files if path.suffix not in _NO_DATA}
    digest = hashlib.sha256()
    for path in sorted(seen | data):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode())
        digest.update(_syntax(path) if path.suffix == ".py" else path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def _syntax(path: Path) -> bytes:
    return ast.dump(_tree(path)).encode()


@cache
def _imported_files(path: Path) -> tuple[Path, ...]:
    """Files of this package that `path` imports, anywhere in it (lazy imports count)."""
    modules: list[str] = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            modules.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            modules.append(node.module)
            modules.extend(f"{node.module}.{alias.name}" for alias in node.names)
    files = []
    for module in modules:
        parts = module.split(".")
        if parts[0] != _PACKAGE.name or len(parts) == 1:
            continue
        base = _PACKAGE.joinpath(*parts[1:])
        files.extend(file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file())
    return tuple(files)
