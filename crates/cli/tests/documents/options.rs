//! The table of options in `docs/configuration.md` is that of the library.

use std::fs;

use meditopia_testkit::repository_path;

#[test]
fn the_table_of_options_is_that_of_the_library() {
    let path = repository_path("docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let (_, rest) = page.split_once("--test documents options -->\n").unwrap();
    let (shown, _) = rest.split_once("<!-- end -->").unwrap();
    let current = meditopia::internals::config::markdown();
    if std::env::var_os("UPDATE_README").is_some() {
        return fs::write(path, page.replacen(shown, &current, 1)).unwrap();
    }
    assert_eq!(
        shown, current,
        "UPDATE_README=1 cargo test -p meditopia-cli --test documents options"
    );
}
