//! Another copy of this library in the same process, such as a package's own beside the system's.
//!
//! Each copy has its own threads, locks and log. On one spool they exclude each other like two processes, so
//! nothing is lost; but what is set in one copy, such as a token, is not known to the other one.

use std::fs;
use std::path::Path;

/// The file of another copy that is loaded. Only shared libraries are seen, by their name.
pub(crate) fn another_copy() -> Option<String> {
    another_in(&fs::read_to_string("/proc/self/maps").ok()?, here())
}

/// An address in this copy.
fn here() -> usize {
    another_copy as fn() -> Option<String> as usize
}

/// The other copy in `maps`, as the kernel writes them, for the copy that has code at `here`.
fn another_in(maps: &str, here: usize) -> Option<String> {
    let parsed = || {
        maps.lines().filter_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let path = rest.find('/').map_or("", |at| &rest[at..]);
            // Rights, offset, device and inode.
            let mut words = rest.split_ascii_whitespace();
            let is_code = words.next()?.contains('x');
            let inode = (words.nth(1)?, words.next()?);
            is_code.then_some((range, inode, path))
        })
    };
    let holds = |range: &str| {
        let (from, end) = range.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        Some((number(from)?..number(end)?).contains(&here))
    };
    let own = parsed().find(|(range, ..)| holds(range) == Some(true))?.1;
    let is_copy = |path: &str| {
        let name = Path::new(path).file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("libmeditopia") && name.contains(".so"))
    };
    let mut others = parsed().filter(|(_, inode, path)| *inode != own && is_copy(path));
    others.next().map(|(.., path)| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_copy_is_found_by_its_name_and_file_and_the_own_one_is_not() {
        let own = "7f00-7f10 r--p 00000000 fe:01 7 /usr/lib/libmeditopia.so.0\n\
                   7f10-7f20 r-xp 00010000 fe:01 7 /usr/lib/libmeditopia.so.0\n";
        let of = |more: &str| another_in(&format!("{own}{more}"), 0x7f18);
        assert_eq!(of(""), None);
        for (path, found) in [
            ("/opt/my app/libmeditopia.so", true),
            ("/opt/libmeditopia-0.1.so.0 (deleted)", true),
            ("/opt/libother.so", false),
            ("/opt/libmeditopia.txt", false),
            ("/srv/libmeditopia.so/other", false),
        ] {
            let code = format!("8f10-8f20 r-xp 00010000 fe:01 8 {path}\n");
            assert_eq!(of(&code), found.then(|| path.to_owned()), "{path}");
            // Mapped to be read, such as by a debugger.
            assert_eq!(of(&code.replace("r-xp", "r--p")), None);
        }
        // Where this copy is part of the program.
        let program = "5510-5520 r-xp 00010000 fe:01 9 /usr/bin/program\n";
        let found = another_in(&format!("{own}{program}"), 0x5511);
        assert_eq!(found.as_deref(), Some("/usr/lib/libmeditopia.so.0"));
        assert_eq!(another_in(own, 0x1), None);
        assert_eq!(another_copy(), None);
    }
}
