//! Files that are made from the program. `UPDATE=1` writes them anew.

use std::path::Path;
use std::process::Command;

#[test]
fn the_openapi_document_and_the_man_page_are_those_of_the_program() {
    for (what, file) in [
        ("openapi", "docs/openapi.json"),
        ("man", "share/man/oneks-gateway.1"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_oneks-gateway"))
            .args(["--generate", what])
            .output()
            .unwrap();
        let new = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && new.len() > 1000, "{new}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &new).unwrap();
        }
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(old == new, "{file} is old; UPDATE=1 writes it anew");
    }
}
