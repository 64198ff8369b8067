//! A page's blocks as scripts, run one after the other by `session.sh`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use meditopia_testkit::{built_library, meditopia_command, repository_path, repository_root};

use super::page::{Block, Mark, Page};

/// The script that does with a block what its reader does. None: this test cannot run it.
fn script(block: &Block, text: &Path) -> Option<String> {
    let text = text.display();
    let mut before = String::new();
    let mut run = match &*block.language {
        "sh" => Some(block.text.clone()),
        "python" => Some(format!("cp {text} block.py && python3 block.py")),
        "php" => Some(format!("cp {text} block.php && php block.php")),
        "c" => Some(format!(
            "cp {text} block.c && cc -std=c99 -Wall -Wextra -Werror block.c -lmeditopia -o block && ./block"
        )),
        "cpp" => Some(format!(
            "cp {text} block.cpp && c++ -std=c++17 -Wall -Wextra -Werror block.cpp -lmeditopia -o block && ./block"
        )),
        "crontab" => Some(cron(&block.text)),
        _ => None,
    };
    for mark in &block.marks {
        match mark {
            Mark::Before(command) => before.push_str(&format!("{command}\n")),
            Mark::File(name) => {
                run = Some(format!(
                    "mkdir -p \"$(dirname {name})\" && cp {text} {name}"
                ));
            }
            Mark::RunsUntil(condition) => {
                let command = block.text.trim_start().replace("\\\n", " ");
                run = Some(format!(
                    "(exec {command}) & it=$!\nuntil {condition}; do kill -0 $it; sleep 0.1; done\nkill $it\nwait $it\n"
                ));
            }
            _ => {}
        }
    }
    run.map(|run| before + &run)
}

/// What cron starts for each line of a file in `/etc/cron.d`, or of a user's own table, with as little around it.
fn cron(table: &str) -> String {
    let started = table.lines().map(|line| {
        let (mut user, mut command) = ("www-data", line.splitn(6, ' ').last().unwrap());
        let (first, rest) = command.split_once(' ').unwrap();
        if !first.contains(['=', '/']) {
            (user, command) = (first, rest);
        }
        let command = command.replace('\'', "'\\''");
        format!(
            "sudo -u {user} sh -c 'cd / && export PATH=/usr/bin:/bin && {command}' >mail 2>&1\ncat mail\n[ ! -s mail ]\n"
        )
    });
    started.collect()
}

/// The whole program that a block is, or is a part of.
fn program(block: &Block) -> String {
    let missing_tag = block.language == "php" && !block.text.starts_with("<?php");
    let mut text = block.text.clone();
    for mark in block.marks.iter().rev() {
        if let Mark::Begins(code) = mark {
            text = format!("{code}\n{text}");
        }
    }
    for mark in &block.marks {
        if let Mark::Ends(code) = mark {
            text.push_str(&format!("{code}\n"));
        }
    }
    if missing_tag {
        format!("<?php\n{text}")
    } else {
        text
    }
}

/// Whether this test can run the block.
pub fn can_run(block: &Block) -> bool {
    script(block, Path::new("block")).is_some()
}

/// Runs these blocks of a page in order. The output says which one failed, and what each printed.
pub fn run(page: &Page, blocks: &[&Block]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let scripts = dir.path().join("scripts");
    fs::create_dir_all(&scripts).unwrap();
    fs::create_dir(dir.path().join("layer")).unwrap();
    let mut order = String::new();
    for (number, block) in blocks.iter().enumerate() {
        let number = format!("{number:03}");
        fs::write(scripts.join(format!("{number}.text")), program(block)).unwrap();
        let script = script(
            block,
            &Path::new("/opt/steps").join(format!("{number}.text")),
        )
        .unwrap();
        fs::write(scripts.join(&number), script).unwrap();
        // cron is root's.
        let is_by_root = block.is_by_root() || block.language == "crontab";
        let user = if is_by_root { "root" } else { "www-data" };
        order.push_str(&format!("{number} {user} {}\n", block.place));
    }
    fs::write(scripts.join("order"), order).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let library = built_library("libmeditopia.so");
    Command::new("unshare")
        .args([
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
        ])
        .arg(repository_path(
            "crates/cli/tests/documents/blocks/session.sh",
        ))
        .arg(dir.path())
        .args(&page.sandbox)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env(
            "MEDITOPIA_VENV",
            target.join("venv").canonicalize().unwrap(),
        )
        .env("MEDITOPIA_ROOT", repository_root().canonicalize().unwrap())
        .env("MEDITOPIA_BUILT", library.parent().unwrap())
        .env("MEDITOPIA_COMMAND", meditopia_command())
        .env("MEDITOPIA_PAGE", &page.name)
        .output()
        .unwrap()
}
