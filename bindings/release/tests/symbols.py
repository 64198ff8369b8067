"""Checks what the compiled files of a release ask of a system: symbols.py GLIBC FILE...

    symbols.py 2.17 lib/libmeditopia.so.0.2.0 bin/meditopia

No symbol is bound to a newer glibc, and none without a version has to be there: such a symbol would be found in a new
glibc, and missed in an old one only when it is called. A shared library has its soname and stays mapped, and it
exports the functions of the header and nothing else.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bindings" / "release"))
import needs  # noqa: E402

#: Asked for if they are there; std and ring do without.
MAY_BE_MISSING = {"gettid", "statx", "getrandom", "__cxa_thread_atexit_impl"}
#: The command asks for these as well, to start programs.
COMMANDS_OWN = {"posix_spawn_file_actions_addchdir_np", "posix_spawn_file_actions_addchdir", "pidfd_spawnp", "pidfd_getpid"}
#: What linkers put into any file.
LINKERS_OWN = {"__gmon_start__", "_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable"}


def check(path, glibc):
    found = needs.read(path)
    is_library = ".so" in path.name
    assert found.glibc <= glibc, f"{path} asks for glibc 2.{found.glibc}"
    allowed = MAY_BE_MISSING | LINKERS_OWN | (set() if is_library else COMMANDS_OWN)
    strange = {name: binding for name, binding in found.unversioned.items() if name not in allowed or binding != "WEAK"}
    assert not strange, f"{path} asks for these of no version: {strange}"
    foreign = {name for name in found.libraries if name.split(".so")[0] not in needs.GLIBC}
    assert not foreign, f"{path} needs {foreign}"
    if is_library:
        dynamic = needs.readelf("--dynamic", path)
        assert "[libmeditopia.so.0]" in dynamic and "NODELETE" in dynamic, f"{path}: soname or NODELETE"
        rows = [line.split() for line in needs.readelf("--dyn-syms", path).splitlines()]
        exports = {row[7].split("@")[0] for row in rows if len(row) > 7 and row[4] in ("GLOBAL", "WEAK") and row[6].isdigit()}
        header = (ROOT / "include" / "meditopia.h").read_text()
        declared = set(re.findall(r"^[a-z].*[ *](meditopia_[a-z_]*)\(", header, re.M))
        assert exports == declared, f"{path}: {sorted(exports ^ declared)} are exported or declared, not both"
    size = subprocess.run(["stat", "-L", "-c", "%s", path], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    print(f"   {path.name}: glibc 2.{found.glibc}, {size} bytes, weak and without version: {', '.join(sorted(found.unversioned))}")


for argument in sys.argv[2:]:
    check(Path(argument), int(sys.argv[1].split(".")[1]))
