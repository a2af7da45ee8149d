"""The adapter in production, as rounds hand it on."""

from pathlib import Path

from ..settings import Setting


class Champion(Setting):
    """The adapter in production when a round begins."""

    version: str
    digest: str
    folder: Path
