//! Lets the programs need no library but the C library: the compiler's support library, which the standard library
//! asks for as the shared `libgcc_s`, is taken in statically.
//!
//! Where a panic ends the process at once, as in a release, nothing unwinds a stack: the tables for it, a seventh of
//! each program, are left out. A panic still says what and where; it has no backtrace, which without symbols would be
//! addresses anyway.

#![allow(clippy::print_stdout)] // this is how a build script speaks to cargo

use std::path::Path;
use std::process::Command;

/// A linker script in the place of `libgcc_s.so`, found first.
const SCRIPT: &str = "INPUT(-lgcc_eh -lgcc)\n";

/// Leaves out what only unwinding needs. The start files of a static program refer to what they bring themselves.
const NO_UNWINDING: &str = "SECTIONS { /DISCARD/ : { *(EXCLUDE_FILE(*crt*.o) .eh_frame) \
     *(.gcc_except_table .gcc_except_table.*) } } INSERT AFTER .bss;\n";

fn main() {
    println!("cargo::rerun-if-changed=share/build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|v| v == value);
    let Ok(out) = std::env::var("OUT_DIR") else { return };
    // The profiles of releases end at a panic; a build script is told of the profile alone.
    let linux = is("CARGO_CFG_TARGET_OS", "linux");
    if linux && is("PROFILE", "release") {
        let script = Path::new(&out).join("no_unwinding.ld");
        if std::fs::write(&script, NO_UNWINDING).is_ok() {
            println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
            println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
        }
    }
    if !linux || !is("CARGO_CFG_TARGET_ENV", "gnu") || !has_static() {
        return;
    }
    if std::fs::write(Path::new(&out).join("libgcc_s.so"), SCRIPT).is_ok() {
        println!("cargo::rustc-link-search=native={out}");
    }
}

/// Has the compiler that links the static library? Where it has not, the programs need the shared one.
fn has_static() -> bool {
    let linker = std::env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_owned());
    let output = Command::new(linker).arg("-print-file-name=libgcc_eh.a").output();
    output.is_ok_and(|output| {
        let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        // A library that is not found is answered with its bare name.
        Path::new(&path).is_absolute()
    })
}
