"""Compiles the page's catalogs when the package is built. Hatchling runs this."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Catalogs(BuildHookInterface):  # type: ignore[type-arg]
    """The hook of `[tool.hatch.build.targets.wheel.hooks.custom]`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put the compiled catalogs beside their sources, which the wheel takes in."""
        runpy.run_path(str(Path(self.root, "contrib/catalogs.py")))["compile_all"]()
