"""A task of the demo: `python -m neural_hive.demo.prepare NAME VERSION` makes a package's source from the template.

Reads the template beside this file; writes source.tar to $NEURAL_HIVE_ARTIFACTS and what it is to the outputs.
"""

import os
import sys
import tarfile
from pathlib import Path
from string import Template

_TEMPLATE = Path(__file__).with_name("template")
_SUFFIX = ".in"
_PACKAGE_FOLDER = "package"  # named after the package in the result


def render(name: str, version: str, target: Path) -> None:
    """Writes the source of a package into a folder."""
    for file in sorted(_TEMPLATE.rglob(f"*{_SUFFIX}")):
        parts = [name if part == _PACKAGE_FOLDER else part for part in file.relative_to(_TEMPLATE).parts]
        written = target.joinpath(*parts).with_suffix("")
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(Template(file.read_text()).substitute(name=name, version=version))


def main() -> None:
    """What the task does."""
    name, version = sys.argv[1:]
    source = Path("source")
    render(name, version, source)
    with tarfile.open(Path(os.environ["NEURAL_HIVE_ARTIFACTS"]) / "source.tar", "w") as archive:
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            archive.add(file, file.relative_to(source).as_posix())
    Path(os.environ["NEURAL_HIVE_OUTPUTS"]).write_text(f"name={name}\nversion={version}\n")


if __name__ == "__main__":
    main()
