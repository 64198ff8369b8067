"""The table of functions in bindings/README.md names each function of the header, and only what each package has."""

import re
import subprocess
from pathlib import Path

from local_api import BUILD

import meditopia

ROOT = Path(__file__).parents[3]
README = (ROOT / "bindings" / "README.md").read_text()
SECTION = README[README.index("## What each has") : README.index("## One version")]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in SECTION.splitlines() if line.startswith("| `")]
#: What a language itself has.
OF_THE_LANGUAGE = {"for", "foreach", "with", "repr"}


def names(column):
    return {name for row in ROWS for name in re.findall(r"`([^`]+)`", row[column])}


def test_every_function_of_the_header_has_its_row_and_no_other_is_there():
    header = (ROOT / "include" / "meditopia_ffi.h").read_text()
    functions = re.findall(r"^\S.*?\b(meditopia_\w+)\(", header, re.M)
    assert len(functions) > 40
    listed = [name for row in ROWS for name in re.findall(r"`([^`]+)`", row[0])]
    assert sorted(listed) == sorted(functions)


def test_a_hole_has_its_reason_and_a_reason_its_place():
    notes = {int(number) for number in re.findall(r"(?:^|[.;] )(\d+)\. ", SECTION[SECTION.rindex("|") :], re.M)}
    used = set()
    for row in ROWS:
        assert len(row) == 5, row
        for cell in row:
            assert cell and (not cell.startswith("-") or re.fullmatch(r"- \[\d+\]", cell)), row
            used |= {int(number) for number in re.findall(r"\[(\d+)\]", cell)}
    assert used == notes


def sources(pattern):
    return "\n".join(path.read_text() for path in sorted(ROOT.glob(pattern)))


#: Of the C++ column: what is no function that can fail.
CPP_OTHERS = {"abi_mismatch", "version", "name", "config", "client", "event_list", "receipt_list"}


def test_what_the_table_names_is_there_in_cpp_with_a_twin_that_throws_nothing():
    text = sources("include/meditopia/*.hpp")
    assert {name for name in CPP_OTHERS if not re.search(rf"\b{name}\b", text)} == set()
    functions = names(1) - CPP_OTHERS
    assert {name for name in functions if not re.search(rf"[ &]{name}\(", text)} == set()
    assert {name for name in functions if f"try_{name}(" not in text} == set()


def test_what_the_table_names_is_there_in_python():
    parameters = meditopia.Client.__init__.__annotations__
    for name in names(2) - OF_THE_LANGUAGE:
        owner, _, method = name.rpartition(".")
        places = {"rejected": meditopia.Rejected, "in_doubt": meditopia.InDoubt, "": meditopia.Client}
        assert hasattr(places[owner], method) or name in parameters or hasattr(meditopia, name), name


def test_what_the_table_names_is_there_in_php():
    text = sources("bindings/php/src/**/*.php")
    missing = {name for name in names(3) - OF_THE_LANGUAGE if not re.search(rf"\b(function|class) {name}\b", text)}
    assert missing == set()


def test_what_the_table_names_is_there_in_the_command():
    said = subprocess.run([BUILD / "meditopia", "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    commands = set(re.findall(r"^  ([a-z-]+)  ", said, re.M)) | {"--version"}
    assert names(4) <= commands
    lone = set(re.findall(r"`([a-z-]+)`", SECTION[SECTION.index("Only the command:") :]))
    assert commands - names(4) - lone == {"try", "completions", "man", "help"}


def found(pattern, file):
    return re.findall(pattern, (ROOT / file).read_text(), re.M)


def test_everything_has_one_version():
    """Also composer's package, if its file says one (else its tag does), and CMake's, if it does not read the crate's."""
    crate = found(r'^version = "(.+)"', "Cargo.toml")[0]
    assert found(r"^version\.workspace = (true)", "crates/cli/Cargo.toml") == ["true"]
    assert meditopia.__version__ == crate
    assert found(r'"version": "(.+)"', "bindings/php/composer.json") in ([], [crate])
    assert found(r"^project\(meditopia VERSION ([0-9.]+)", "CMakeLists.txt") in ([], [crate])
    for name in ("meditopia.pc.in", "meditopiaConfigVersion.cmake.in"):
        assert "@VERSION@" in (ROOT / "bindings/install" / name).read_text(), name


def test_everything_has_one_version_of_the_interface():
    """Source, headers and the packages that are not compiled against them."""
    major, minor = (found(rf"MEDITOPIA_ABI_{part}: \w+ = (\d+)", "src/ffi/version.rs") for part in ("MAJOR", "MINOR"))
    assert [major, minor] == [found(rf"define MEDITOPIA_ABI_{part} (\d+)", "include/meditopia.h") for part in ("MAJOR", "MINOR")]
    assert [*major, *minor] == found(r"MEDITOPIA_ABI_M\w+ = (\d+)", "include/meditopia_ffi.h")
    assert [*major, *minor] == found(r"const ABI_M\w+ = (\d+)", "bindings/php/src/Library.php")
    assert [(*major, *minor)] == found(r"^ABI_MAJOR, ABI_MINOR = (\d+), (\d+)", "bindings/python/src/meditopia/_abi.py")
