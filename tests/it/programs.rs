//! The programs as files.

use std::process::Command;

/// All of the C library.
const ALLOWED: [&str; 3] = ["libc.so.", "libm.so.", "ld-linux"];

#[test]
fn no_program_needs_a_library_beyond_the_c_library() {
    for program in [
        env!("CARGO_BIN_EXE_oneks"),
        env!("CARGO_BIN_EXE_oneks-gateway"),
        env!("CARGO_BIN_EXE_document"),
        env!("CARGO_BIN_EXE_vm_state"),
        env!("CARGO_BIN_EXE_vm_update"),
        env!("CARGO_BIN_EXE_guest_exec"),
        env!("CARGO_BIN_EXE_vrouter"),
        env!("CARGO_BIN_EXE_sweep"),
        env!("CARGO_BIN_EXE_capone"),
        env!("CARGO_BIN_EXE_dummy"),
    ] {
        // Where programs can be linked, there is readelf.
        let output = Command::new("readelf").args(["-d", program]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let needed: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("(NEEDED)"))
            .filter_map(|line| line.split_once('[')?.1.split_once(']'))
            .map(|(library, _)| library)
            .collect();
        assert!(
            needed.iter().any(|l| l.starts_with("libc.so.")),
            "{program}: {text}"
        );
        for library in needed {
            let allowed = ALLOWED.iter().any(|a| library.starts_with(a));
            assert!(allowed, "{program} needs {library}");
        }
    }
}

#[test]
fn the_sweep_refuses_arguments_that_it_does_not_know() {
    for arguments in [&["--everything"][..], &["--all", "--all"], &[""]] {
        let output = Command::new(env!("CARGO_BIN_EXE_sweep"))
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), said.as_str()),
            (Some(64), "usage: sweep [--all]\n")
        );
    }
}
