"""Which loop is meant, without all that reading one imports: a rollback should take a moment."""

from importlib import resources
from pathlib import Path

from .settings import read_yaml

CONFIG = "loop.yaml"


def find_loop(ref: str) -> Path:
    """The folder that `ref` names: a folder of the user's, or a scenario that comes with the package."""
    packaged = Path(str(resources.files("wheelwork.scenarios")))
    if not Path(ref).exists() and (packaged / ref / CONFIG).is_file():
        return packaged / ref
    return Path(ref)


def loop_name(ref: str) -> str:
    """The name in `loop.yaml` of the loop that `ref` names. Raises ConfigError as reading the loop's settings does."""
    folder = find_loop(ref)
    told = read_yaml(folder / CONFIG) if folder.is_dir() else None
    name = told.get("name") if isinstance(told, dict) else None
    if isinstance(name, str) and name.replace("-", "").replace("_", "").isalnum() and name.isascii():
        return name
    from .loops import read_settings  # says what is wrong

    return read_settings(folder).name
