//! Names the shared library and pins it. Writes nothing.
//!
//! A cdylib has no soname of its own, so a program linked with it would ask for whatever file name
//! it was linked by. `-z nodelete` keeps the library mapped after `dlclose`: its sender thread and
//! its fork handler cannot be taken back, and PHP closes a library at the end of each request.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libmeditopia.so.0");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
