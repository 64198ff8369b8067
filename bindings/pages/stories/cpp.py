"""A program in C++: find_package, pkg-config and FetchContent."""

import shutil
from pathlib import Path

from machine import check, found
from stories.c import HOME, SPOOL, prepare

ROOT = Path(__file__).parents[3]


def the_first_lines_build_a_program_that_delivers(machine):
    prepare(machine)
    machine.paste("install", cwd=HOME)
    machine.spool_of("myapp", SPOOL)
    machine.write(f"{HOME}/report.cpp", machine.page["program"])
    machine.write(f"{HOME}/CMakeLists.txt", machine.page["cmake"])
    machine.paste("build", cwd=HOME)
    said = machine.paste("run", cwd=HOME)
    check(said == "" and machine.values("user-1") == ["morning calm"], f"{said} {machine.events()}")


def the_line_that_asks_why_answers(machine):
    said = machine.paste("why")
    check("pending" in said, said)


def the_sandbox_runs_the_program(machine):
    machine.paste("sandbox", cwd=HOME)


def the_line_of_pkg_config_links_it_as_well(machine):
    machine.paste("pkg-config", cwd=HOME)
    machine.run(machine.page["run"].replace("build/report", "./report"), cwd=HOME)
    check(len(machine.values("user-1")) == 2, machine.events())


def the_test_of_the_page_passes(machine):
    machine.write(f"{HOME}/test_report.cpp", machine.page["pending"])
    lines = machine.page["pkg-config"].replace("report.cpp", "test_report.cpp").replace("-o report", "-o test_report")
    machine.run(f"{lines}\n./test_report $(mktemp -d)/spool", cwd=HOME)


def a_project_fetches_the_source_of_the_release_that_the_page_names(machine):
    upstream = Path("/srv/upstream")
    for name in ("CMakeLists.txt", "Cargo.toml", "include", "bindings/install"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, make(upstream / name))
    version = found(r'(?m)^version = "(.+)"', (ROOT / "Cargo.toml").read_text())[1]
    git = "git -c user.name=me -c user.email=me@example.com"
    machine.run(f"git init -q && git add . && {git} commit -qm release && git tag v{version}", cwd=upstream)
    url = found(r"GIT_REPOSITORY (\S+)", machine.page["fetch-content"])[1]
    machine.run(f"git config --global url.file://{upstream}.insteadOf {url}")
    machine.write(f"{HOME}/fetched/CMakeLists.txt", machine.page["fetch-content"])
    machine.run(
        f"cp report.cpp fetched && cmake -S fetched -B fetched/build -DMEDITOPIA_BUILT={machine.built} && cmake --build fetched/build",
        cwd=HOME,
    )
    machine.run(machine.page["run"].replace("build/report", "fetched/build/report"), cwd=HOME)
    check(len(machine.values("user-1")) == 3, machine.events())


def make(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
