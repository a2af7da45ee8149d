"""The name of a loop without all that reading a loop imports: a rollback should take a moment."""

from importlib import resources
from pathlib import Path

from ..settings import read_yaml


def loop_name(ref: str) -> str:
    """The name in `loop.yaml` of the loop that `ref` names. Raises ConfigError as reading the loop's settings does."""
    packaged = Path(str(resources.files("wheelwork.scenarios"))) / ref
    folder = packaged if not Path(ref).exists() and (packaged / "loop.yaml").is_file() else Path(ref)
    told = read_yaml(folder / "loop.yaml") if folder.is_dir() else None
    name = told.get("name") if isinstance(told, dict) else None
    if isinstance(name, str) and name.replace("-", "").replace("_", "").isalnum() and name.isascii():
        return name
    from ..loops import find_loop, read_settings  # says what is wrong

    return read_settings(find_loop(ref)).name
