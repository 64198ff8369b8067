//! Names the shared library, pins it, and says what is linked into it. Writes nothing.
//!
//! A cdylib has no soname of its own, so a program linked with it would ask for whatever file name
//! it was linked by. `-z nodelete` keeps the library mapped after `dlclose`: its sender thread and
//! its fork handler cannot be taken back, and PHP closes a library at the end of each request.
//!
//! A panic never leaves the library, so it can have an unwinder of its own. A short process that
//! enqueues one event takes a tenth less time when it does not have to load `libgcc_s.so`.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libmeditopia.so.0");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
        if var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu") {
            println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
        }
    }
}
