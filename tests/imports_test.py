"""Who imports whom, and who touches files: read from the source, imports inside functions too."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = (
    {
        *("audio", "checks", "devices", "hardware", "interruption", "losses", "parsing", "plots"),
        *("processes", "progress", "quantization", "storage", "units"),
    },
    {"models"},
    {"config"},
    {"data", "runs", "sizes"},
    {"evaluation", "preparation"},
    {"sampling"},
    {"training"},
    {"benchmarks", "interop"},
    {"jobs"},
    {"experiments"},
)
"""Rooms from the ground up; each may import lower floors and itself."""

FILE_METHODS = {
    *("chmod", "exists", "glob", "is_dir", "is_file", "is_symlink", "iterdir", "mkdir", "open"),
    *("read_bytes", "read_text", "rename", "rglob", "rmdir", "samefile", "stat", "symlink_to"),
    *("touch", "unlink", "write_bytes", "write_text"),
}
FILE_MODULES = {"glob", "io", "shutil"}
FILE_CALLS = {"open", *(f"os.{name}" for name in FILE_METHODS | {"listdir", "makedirs", "remove"})}


@functools.cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@functools.cache
def modules() -> dict[str, Path]:
    """The modules of the package and the commands, by name."""
    files = [*(ROOT / "samplernn_jax").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")]
    return {name_of(file): file for file in files}


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(file: Path) -> set[str]:
    """All that a file imports, dotted, whatever it is."""
    names = set()
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@functools.cache
def imports() -> dict[str, set[str]]:
    """For each module, those of this repository that it imports."""
    return {
        name: {m for x in imported_names(file) if (m := module_of(x)) not in (None, name)}
        for name, file in modules().items()
    }


def module_of(name: str) -> str | None:
    """The module that a dotted name is, or is in."""
    while name and name not in modules():
        name = name.rpartition(".")[0]
    return name or None


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[0] if parts[0] == "experiments" else parts[1]


def floor_of(module: str) -> int:
    return next(floor for floor, rooms in enumerate(FLOORS) if room_of(module) in rooms)


def test_every_room_has_its_floor():
    known = set().union(*FLOORS)
    rooms = {room_of(module) for module in modules() if module != "samplernn_jax"}
    assert rooms <= known


def test_imports_go_down_or_stay_in_their_room():
    arrows = [
        f"{module} -> {other}"
        for module, others in imports().items()
        for other in others
        if "samplernn_jax" not in (module, other)
        and room_of(module) != room_of(other)
        and floor_of(module) <= floor_of(other)
        and not (floor_of(module) == floor_of(other) == 0)
    ]
    assert not arrows, "\n".join(sorted(arrows))


def test_nothing_in_the_package_imports_its_public_names():
    assert [module for module, others in imports().items() if "samplernn_jax" in others] == []


def test_no_modules_import_each_other_in_a_circle():
    left = {module: set(others) for module, others in imports().items()}
    while free := [module for module, others in left.items() if not others & left.keys()]:
        for module in free:
            del left[module]
    assert sorted(left) == [], "each of these is in a circle, or imports one that is"


@pytest.mark.parametrize(
    ("library", "owner"),
    [
        ("orbax", "samplernn_jax.runs.orbax_folder"),
        ("soundfile", "samplernn_jax.audio.sndfile"),
        ("tensorboardX", "samplernn_jax.runs.tensorboard"),
    ],
)
def test_a_library_is_imported_in_one_module(library, owner):
    users = {
        module
        for module, file in modules().items()
        if any(name.split(".")[0] == library for name in imported_names(file))
    }
    assert users == {owner}


def calls_of(file: Path) -> list[ast.Call]:
    return [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call)]


def test_meshes_are_made_in_one_module():
    makers = {
        module
        for module, file in modules().items()
        for call in calls_of(file)
        if ast.unparse(call.func) in ("Mesh", "jax.make_mesh", "jax.sharding.Mesh")
    }
    assert makers == {"samplernn_jax.devices"}


def test_files_of_a_workdir_are_touched_in_storage_alone():
    touched = [
        f"{module}, line {call.lineno}: {ast.unparse(call.func)}"
        for module, file in modules().items()
        if module.startswith(("samplernn_jax.runs", "samplernn_jax.training"))
        for call in calls_of(file)
        if is_of_files(call)
    ]
    assert not touched, "\n".join(touched)


def is_of_files(call: ast.Call) -> bool:
    if ast.unparse(call.func) in FILE_CALLS:
        return True
    if not isinstance(call.func, ast.Attribute):
        return False
    owner = ast.unparse(call.func.value)
    return owner in FILE_MODULES or (call.func.attr in FILE_METHODS and owner != "storage")
