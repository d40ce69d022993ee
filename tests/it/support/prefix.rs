//! An installation in a temporary folder, made of the executables that cargo has just built, or of those in the folder
//! that `ONEKS_PROGRAMS` names, such as `install.sh --build` makes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Password of the server user in these tests.
pub const SERVER_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Password of oneadmin in these tests.
pub const ONEADMIN_PASSWORD: &str = "opennebula";

/// The executables by name.
const PROGRAMS: [(&str, &str); 8] = [
    ("lib/oneks/hooks/document", env!("CARGO_BIN_EXE_document")),
    ("lib/oneks/hooks/vm_state", env!("CARGO_BIN_EXE_vm_state")),
    ("lib/oneks/hooks/vm_update", env!("CARGO_BIN_EXE_vm_update")),
    ("lib/oneks/hooks/guest_exec", env!("CARGO_BIN_EXE_guest_exec")),
    ("lib/oneks/hooks/vrouter", env!("CARGO_BIN_EXE_vrouter")),
    ("lib/oneks/hooks/sweep", env!("CARGO_BIN_EXE_sweep")),
    ("lib/oneks/drivers/capone/capone", env!("CARGO_BIN_EXE_capone")),
    ("lib/oneks/drivers/dummy/dummy", env!("CARGO_BIN_EXE_dummy")),
];

/// The executable that is to be tried.
fn program(built: &str) -> PathBuf {
    let built = Path::new(built);
    let given = std::env::var_os("ONEKS_PROGRAMS").map(PathBuf::from);
    let given = given.map(|folder| folder.join(built.file_name().unwrap()));
    given.unwrap_or_else(|| built.to_owned())
}

/// An installation below a temporary folder, with credentials and an endpoint.
pub struct Prefix {
    folder: tempfile::TempDir,
    endpoint: String,
}

impl Prefix {
    /// An installation that talks to this endpoint.
    pub fn new(endpoint: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (to, from) in PROGRAMS {
            let to = root.join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(program(from), to).unwrap();
        }
        let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/profiles");
        fs::create_dir_all(root.join("var/oneks")).unwrap();
        std::os::unix::fs::symlink(profiles, root.join("var/oneks/profiles")).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        let credentials = root.join("var/.one");
        fs::create_dir_all(&credentials).unwrap();
        fs::write(
            credentials.join("one_auth"),
            format!("oneadmin:{ONEADMIN_PASSWORD}\n"),
        )
        .unwrap();
        fs::write(
            credentials.join("oneks_auth"),
            format!("serveradmin:{SERVER_SECRET}\n"),
        )
        .unwrap();
        Self {
            folder,
            endpoint: endpoint.to_owned(),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Path of a hook.
    pub fn hook(&self, name: &str) -> PathBuf {
        self.root().join("lib/oneks/hooks").join(name)
    }

    /// Where OpenNebula is.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The environment that the hook manager gives a hook.
    pub fn environment(&self) -> Vec<(String, String)> {
        vec![
            ("HOME".to_owned(), self.root().join("var").display().to_string()),
            ("ONE_LOCATION".to_owned(), self.root().display().to_string()),
            ("ONE_XMLRPC".to_owned(), self.endpoint.clone()),
        ]
    }

    /// Runs a hook with this standard input.
    pub fn run(&self, hook: &str, input: &[u8]) -> Output {
        let mut child = Command::new(self.hook(hook))
            .env_clear()
            .envs(self.environment())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A hook may have seen enough before it has read everything.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }
}
