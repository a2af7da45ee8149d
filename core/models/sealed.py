"""Folders that know what they hold, so that later damage is noticed without hashing them again."""

from pathlib import Path

from pydantic import Field, ValidationError

from ..settings import Setting

MANIFEST = "wheelwork.json"


class Manifest(Setting):
    """What a finished model folder says of itself; it lies beside the model."""

    origin: str = Field(description="what the folder was made from; another origin makes it stale")
    digest: str = Field(description="what identifies the model; may be empty")
    files: dict[str, int] = Field(description="size in bytes of each file, by its path in the folder")


def seal(folder: Path, origin: str, digest: str = "") -> Manifest:
    """Write the manifest of a folder that is complete, before it is renamed into place."""
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    files.pop(MANIFEST, None)
    manifest = Manifest(origin=origin, digest=digest, files=files)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    return manifest


def intact(folder: Path, origin: str) -> Manifest | None:
    """The manifest, if the folder came from `origin` and every file is there at its size; None otherwise."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))
        whole = all((folder / name).stat().st_size == size for name, size in manifest.files.items())
    except (OSError, UnicodeDecodeError, ValidationError):
        return None
    return manifest if whole and manifest.origin == origin else None


def size_on_disk(folder: Path) -> int:
    """Bytes of all files below `folder`; 0 if there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
