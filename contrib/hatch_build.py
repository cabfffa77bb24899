"""Hooks of Hatchling: compile the catalogs of the page, and describe the package."""

from __future__ import annotations

import atexit
import re
import runpy
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

_PICTURE = re.compile(r"!\[[^]]*\]\([^)]*\)\n*")
_LINK_TO_A_FILE = re.compile(r"\[([^]]*)\]\((?!https?:|#)[^)]*\)")


class Readme(MetadataHookInterface):
    """The hook of `[tool.hatch.metadata.hooks.custom]`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the README without links to files, which a package index does not have."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        alone = _LINK_TO_A_FILE.sub(r"\1", _PICTURE.sub("", text))
        metadata["readme"] = {"content-type": "text/markdown", "text": alone}


class Catalogs(BuildHookInterface):  # type: ignore[type-arg]
    """The hook of `[tool.hatch.build.targets.wheel.hooks.custom]`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the compiled catalogs to the wheel; the source tree may be read-only.

        For an editable install they are written to the source tree.
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
