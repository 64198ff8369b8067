"""Where the library is looked for, and that one of another version is refused."""

import ctypes
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import meditopia
from meditopia import _abi

BESIDE = Path(meditopia.__file__).with_name("libmeditopia.so.0")


def python(code, **environment):
    """Runs it in a process of its own, where nothing is loaded yet."""
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )
    return run.stdout + run.stderr


def of_another_version(path, major, minor):
    """The real library with one number changed: what meditopia_abi_version gives."""
    content = bytearray(BESIDE.read_bytes())
    address = address_in_file(content, b"meditopia_abi_version")
    content[address : address + 6] = struct.pack("<BIB", 0xB8, major << 16 | minor, 0xC3)  # mov eax, ...; ret
    path.write_bytes(content)
    return path


def address_in_file(content, symbol):
    """Where the code of an exported function stands, by the tables of the ELF file."""
    (table_at,) = struct.unpack_from("<Q", content, 40)
    size, count = struct.unpack_from("<HH", content, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", content, table_at + size * index) for index in range(count)]
    symbols = next(section for section in sections if section[1] == 11)  # SHT_DYNSYM
    names = sections[symbols[6]]
    for at in range(symbols[4], symbols[4] + symbols[5], 24):
        name, _, _, index, value, _ = struct.unpack_from("<IBBHQQ", content, at)
        start = names[4] + name
        if content[start : content.index(b"\0", start)] == symbol:
            return value - sections[index][3] + sections[index][4]
    raise AssertionError(f"{symbol} is not there")


def test_the_wheels_own_library_is_used_by_default():
    says = python("import meditopia._library as l; print(l.load().path)", MEDITOPIA_LIBRARY="")
    assert says.strip() == str(BESIDE)


def test_the_variable_goes_before_the_wheel_and_the_argument_before_the_variable(tmp_path):
    for name in ("variable.so", "argument.so"):
        (tmp_path / name).write_bytes(BESIDE.read_bytes())
    code = f"import meditopia._library as l; print(l.load().path, l.load({str(tmp_path / 'argument.so')!r}).path)"
    says = python(code, MEDITOPIA_LIBRARY=str(tmp_path / "variable.so"))
    assert says.split() == [str(tmp_path / "variable.so"), str(tmp_path / "argument.so")]


def test_a_named_file_that_is_not_there_is_an_error_and_nothing_else_is_taken(tmp_path):
    with pytest.raises(
        meditopia.LibraryError, match=f"{tmp_path}/none.so .given as library=.*MEDITOPIA_LIBRARY(?s:.*)"
    ):
        try:
            meditopia.Client(spool=tmp_path / "spool", library=tmp_path / "none.so")
        except meditopia.LibraryError as error:
            raise meditopia.LibraryError(str(error).replace("\n", " ")) from None
    says = python("import meditopia; meditopia.Client(spool='x')", MEDITOPIA_LIBRARY="/none/at/all.so")
    assert "/none/at/all.so (from MEDITOPIA_LIBRARY)" in says


def test_a_package_without_its_library_asks_the_loader_and_names_all_places(tmp_path):
    (tmp_path / "meditopia").mkdir()
    for source in Path(meditopia.__file__).parent.glob("*.py"):
        (tmp_path / "meditopia" / source.name).write_text(source.read_text())
    code = "import meditopia._library as l; print(l.load().path)"
    lone = {"PYTHONPATH": str(tmp_path), "MEDITOPIA_LIBRARY": ""}
    says = python(code, **lone)
    assert f"{tmp_path}/meditopia/libmeditopia.so.0 (beside the package)" in says
    assert "libmeditopia.so.0 (by the loader)" in says and "manylinux" in says
    says = python(code, LD_LIBRARY_PATH=str(BESIDE.parent), **lone)
    assert says.strip() == "libmeditopia.so.0"


@pytest.mark.parametrize("major, minor", [(1, 1), (0, 0), (0, _abi.ABI_MINOR - 1)])
def test_a_library_of_another_abi_is_refused_and_both_files_and_versions_are_named(tmp_path, major, minor):
    other = of_another_version(tmp_path / "other.so", major, minor)
    with pytest.raises(meditopia.LibraryError) as caught:
        meditopia.Client(spool=tmp_path / "spool", library=other)
    says = str(caught.value)
    assert f"{other} (given as library=) has ABI {major}.{minor}" in says
    assert f"meditopia {meditopia.__version__} in {BESIDE.parent} needs ABI 0.{_abi.ABI_MINOR}" in says


def test_a_library_of_a_later_minor_is_taken(tmp_path):
    later = of_another_version(tmp_path / "later.so", 0, _abi.ABI_MINOR + 1)
    client = meditopia.Client(spool=tmp_path / "spool", role="enqueue", library=later)
    client.enqueue(token="t", partner_user_id="u", event="video")
    client.close(0)


def test_a_file_that_is_another_library_is_refused(tmp_path):
    with pytest.raises(meditopia.LibraryError, match="libm.so.6 .* is not libmeditopia"):
        meditopia.Client(spool=tmp_path / "spool", library="libm.so.6")


def test_every_field_of_a_struct_lies_where_c_has_it(tmp_path):
    """A struct may be shorter than the header's, which may have grown; only the error, which is frozen, may not."""
    structs = {
        "error": _abi.Error,
        "report": _abi.Report,
        "histogram": _abi.Histogram,
        "stats": _abi.Stats,
        "log_record": _abi.LogRecord,
        "row": _abi.Row,
        "filter": _abi.Filter,
        "receipt": _abi.Receipt,
    }
    fields = [(f"meditopia_{name}", struct, field) for name, struct in structs.items() for field, _ in struct._fields_]
    numbers = "".join(
        f'printf("%zu %zu ", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));' for name, _, field in fields
    )
    whole = 'printf("%zu", sizeof(meditopia_error));'
    source = f"#include <meditopia.h>\n#include <stdio.h>\nint main(void) {{ {numbers} {whole} return 0; }}"
    include = Path(__file__).parents[3] / "include"
    compiler = ["cc", "-xc", "-", f"-I{include}", "-o", str(tmp_path / "fields")]
    subprocess.run(compiler, input=source, text=True, check=True)
    said = subprocess.run([tmp_path / "fields"], stdout=subprocess.PIPE, text=True, check=True).stdout
    *in_c, whole = map(int, said.split())
    ours = [(getattr(struct, field).offset, getattr(struct, field).size) for _, struct, field in fields]
    assert list(zip(in_c[::2], in_c[1::2])) == ours and whole == ctypes.sizeof(_abi.Error)


def test_the_package_has_every_field_of_the_librarys_structs_and_asks_for_its_version():
    """They come out of one commit. An application that was built with an older package goes on with a newer library."""
    header = (Path(__file__).parents[3] / "include" / "meditopia_ffi.h").read_text()
    versions = [int(number) for number in re.findall(r"MEDITOPIA_ABI_M\w+ = (\d+)", header)]
    assert versions == [_abi.ABI_MAJOR, _abi.ABI_MINOR]
    structs = dict(re.findall(r"typedef struct \w+ \{([^}]*)\} (\w+);", header)[index][::-1] for index in range(8))
    for name in ("report", "histogram", "stats", "log_record", "row", "filter", "receipt"):
        in_c = re.findall(r"(\w+)(?:\[\d+\])?;", structs[f"meditopia_{name}"])
        ours = [field for field, _ in getattr(_abi, "".join(part.title() for part in name.split("_")))._fields_]
        assert ours == in_c, name


def test_processes_with_libraries_of_different_versions_share_a_spool(api, tmp_path):
    """Each may send, and none loses an event of the other."""
    of_another_version(tmp_path / "later.so", 0, _abi.ABI_MINOR + 1)
    code = """
import sys, meditopia
client = meditopia.Client(**{options!r}, library=sys.argv[1] or None)
for number in range(300):
    client.enqueue(token="t", partner_user_id=sys.argv[2], event="video", event_value=str(number))
client.flush(60)
client.close(60)
"""
    code = code.format(options=api.options(str(tmp_path / "spool")))
    libraries = ["", str(tmp_path / "later.so")] * 2
    processes = [
        subprocess.Popen([sys.executable, "-c", code, library, f"u-{number}"]) for number, library in enumerate(libraries)
    ]
    assert [process.wait(120) for process in processes] == [0] * 4
    assert api.arrived() == {f"u-{number}": list(range(300)) for number in range(4)}


@pytest.mark.parametrize(
    "words, means",
    [
        ("Error relocating libmeditopia.so.0: __register_atfork: symbol not found", "has musl"),
        ("Error loading shared library ld-linux-x86-64.so.2: No such file or directory", "has musl"),
        ("libc.so.6: version `GLIBC_2.34' not found (required by libmeditopia.so.0)", "older than GLIBC_2.34: build"),
        ("libmeditopia.so.0: wrong ELF class: ELFCLASS32", "another processor"),
        ("libmeditopia.so.0: cannot open shared object file: No such file or directory", "set MEDITOPIA_LIBRARY to"),
    ],
)
def test_the_words_of_the_loader_are_explained(monkeypatch, words, means):
    def refuses(name):
        raise OSError(words)

    monkeypatch.setattr("meditopia._library.CDLL", refuses)
    with pytest.raises(meditopia.LibraryError) as caught:
        meditopia.Client(spool="x", library="/somewhere/libmeditopia.so.0")
    assert words in str(caught.value) and means in str(caught.value)
