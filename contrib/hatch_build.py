"""Compiles the page's catalogs when the package is built. Hatchling runs this."""

from __future__ import annotations

import atexit
import runpy
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Catalogs(BuildHookInterface):  # type: ignore[type-arg]
    """The hook of `[tool.hatch.build.targets.wheel.hooks.custom]`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Take compiled catalogs into the wheel; the source tree may be read-only.

        An editable install reads the source tree, so that there they lie beside it.
        """
        catalogs = runpy.run_path(str(Path(self.root, "contrib/catalogs.py")))
        if version == "editable":
            catalogs["compile_all"]()
            return
        folder = Path(tempfile.mkdtemp())
        atexit.register(shutil.rmtree, folder)
        for file in catalogs["compile_all"](into=folder):
            target = f"flask_autoconfig/page/locale/{file.relative_to(folder)}"
            build_data["force_include"][str(file)] = target
