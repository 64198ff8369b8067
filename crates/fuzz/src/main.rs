//! Runs one fuzz target of the library under libFuzzer. `crates/fuzz/run` builds and starts it.
//!
//! The targets are in `src/store/fuzz`, where `cargo test` runs them too. One program has all of them,
//! because each would be linked with the whole library: `MEDITOPIA_FUZZ_TARGET` says which one runs. What
//! mutations start from is written to the directory that `MEDITOPIA_FUZZ_SEEDS` names.

#![no_main]

mod allocations;

use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use meditopia::internals::store::fuzz::{TARGETS, Target};

#[global_allocator]
static ALLOCATOR: allocations::Bounded = allocations::Bounded;

static CHOSEN: OnceLock<Target> = OnceLock::new();

fn chosen() -> &'static Target {
    CHOSEN.get_or_init(|| {
        let name = std::env::var("MEDITOPIA_FUZZ_TARGET").unwrap_or_default();
        let target = TARGETS.iter().find(|target| target.name == name);
        *target.unwrap_or_else(|| panic!("MEDITOPIA_FUZZ_TARGET: no target is called {name:?}"))
    })
}

fn write_seeds() {
    let Some(dir) = std::env::var_os("MEDITOPIA_FUZZ_SEEDS") else {
        return;
    };
    for (number, seed) in (chosen().seeds)().iter().enumerate() {
        let path = Path::new(&dir).join(format!("seed-{number}"));
        std::fs::write(&path, seed).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

fuzz_target!(init: write_seeds(), |data: &[u8]| {
    allocations::bound_to(data.len());
    (chosen().run)(data);
    allocations::unbound();
});
