"""A program in C, from the archive of a release and from the Debian packages."""

import glob
import shutil

from machine import check

HOME = "/home/me"
SPOOL = "/var/spool/myapp/meditopia"


def prepare(machine):
    machine.run("useradd --system --user-group --no-create-home myapp")
    machine.write(f"{HOME}/my-token", machine.token)
    for file in glob.glob(f"{machine.environment['RELEASE']}/*meditopia*"):
        shutil.copy(file, HOME)


def the_first_lines_compile_a_program_that_delivers(machine):
    prepare(machine)
    machine.paste("install", cwd=HOME)
    machine.spool_of("myapp", SPOOL)
    machine.write(f"{HOME}/report.c", machine.page["program"])
    machine.paste("compile", cwd=HOME)
    said = machine.paste("run", cwd=HOME)
    check(said == "" and machine.values("user-1") == ["morning calm"], f"{said} {machine.events()}")


def the_line_that_asks_why_answers(machine):
    said = machine.paste("why")
    check("pending" in said, said)


def the_test_of_the_page_passes(machine):
    machine.write(f"{HOME}/test_report.c", machine.page["pending"])
    compile_test = machine.page["compile"].replace("report.c", "test_report.c").replace("-o report", "-o test_report")
    machine.run(f"{compile_test}\n./test_report $(mktemp -d)/spool", cwd=HOME)


def the_sandbox_runs_the_program(machine):
    machine.paste("sandbox", cwd=HOME)


def the_static_program_needs_no_library(machine):
    machine.run(f"export PKG_CONFIG_PATH=/opt/meditopia/lib/pkgconfig\n{machine.page['static']}", cwd=HOME)
    check("not a dynamic executable" in machine.run("ldd ./report || :", cwd=HOME), "it is static")
    machine.paste("run", cwd=HOME)
    check(len(machine.values("user-1")) == 2, machine.events())


def the_debian_packages_need_no_path(machine):
    machine.run("rm -r /opt/meditopia")
    machine.paste("deb", cwd=HOME)
    machine.run("cc -std=c99 report.c $(pkg-config --cflags --libs meditopia) -o report", cwd=HOME)
    machine.paste("run", cwd=HOME)
    check(len(machine.values("user-1")) == 3, machine.events())
    machine.run("man -w meditopia_enqueue && meditopia --version")
