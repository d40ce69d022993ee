//! `install.sh` and its table of files.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use oneks::layout::Layout;
use opennebula::endpoint::Environment;

const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// A place to install to.
struct Place {
    folder: tempfile::TempDir,
}

/// One installed file: the row's kind, its mode, and what it is made of.
struct Row {
    kind: String,
    mode: u32,
    from: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let programs = folder.path().join("programs");
        std::fs::create_dir(&programs).unwrap();
        for row in table().iter().filter(|row| row.kind == "program") {
            // What is in them is of no importance here.
            std::fs::write(programs.join(&row.from), &row.to).unwrap();
        }
        Self { folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("one")
    }

    fn install(&self, arguments: &[&str]) -> Output {
        let output = Command::new(format!("{SOURCE}/install.sh"))
            .arg("-n")
            .arg("-d")
            .arg(self.root())
            .arg("--programs")
            .arg(self.folder.path().join("programs"))
            .args(arguments)
            .env_remove("DESTDIR")
            .env_remove("ONE_LOCATION")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
        output
    }

    /// What should be there, by path.
    fn rows(&self) -> BTreeMap<PathBuf, Row> {
        let place = |to: &str| -> Option<PathBuf> {
            let (name, rest) = to.split_once('/').unwrap_or((to, ""));
            let below = match name {
                "BIN" => "bin",
                "LIB" => "lib/oneks",
                "ETC" => "etc",
                "SHARE" => "share/oneks",
                "VAR" => "var/oneks",
                "MAN" => "share/man/man1",
                "DOC" => "share/doc/oneks",
                _ => return None,
            };
            Some(self.root().join(below).join(rest))
        };
        let mut rows = BTreeMap::new();
        for row in table() {
            let Some(to) = place(&row.to) else { continue };
            let from = Path::new(SOURCE).join(&row.from);
            let mut add = |to: PathBuf, from: PathBuf| {
                let (kind, mode) = (row.kind.clone(), row.mode);
                rows.insert(to, Row { kind, mode, from });
            };
            match row.kind.as_str() {
                "files" => {
                    for file in files(&from) {
                        add(to.join(file.strip_prefix(&from).unwrap()), file.clone());
                    }
                }
                "program" => add(to, self.folder.path().join("programs").join(&row.from)),
                "state" | "log" => {}
                _ => add(to, from),
            }
        }
        rows
    }
}

/// One row of the table.
pub struct TableRow {
    /// Its kind.
    pub kind: String,
    /// Mode of the file.
    pub mode: u32,
    /// Owner and group.
    pub owner: String,
    /// Program, or path in the repository.
    pub from: String,
    /// Place and name.
    pub to: String,
}

/// The table of files.
pub fn table() -> Vec<TableRow> {
    let text = std::fs::read_to_string(format!("{SOURCE}/share/files.table")).unwrap();
    text.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [kind, mode, owner, from, to] = words[..] else {
                panic!("{line}");
            };
            TableRow {
                kind: kind.to_owned(),
                mode: u32::from_str_radix(mode, 8).unwrap(),
                owner: owner.to_owned(),
                from: from.to_owned(),
                to: to.to_owned(),
            }
        })
        .collect()
}

/// All files below a folder.
pub fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path);
        }
    }
    all
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .permissions()
        .mode()
        & 0o7777
}

#[test]
fn exactly_the_table_is_installed_and_all_of_it_is_removed() {
    let place = Place::new();
    place.install(&[]);
    let rows = place.rows();
    let programs = rows.values().filter(|row| row.kind == "program").count();
    assert_eq!(programs, 10);
    for (path, row) in &rows {
        assert_eq!(mode(path), row.mode, "{}", path.display());
        if row.kind != "dir" {
            assert_eq!(
                std::fs::read(path).unwrap(),
                std::fs::read(&row.from).unwrap(),
                "{}",
                path.display()
            );
        }
    }
    let wanted: BTreeSet<PathBuf> = rows
        .iter()
        .filter(|(_, row)| row.kind != "dir")
        .map(|(path, _)| path.clone())
        .chain([place.root().join("lib/oneks/installed")])
        .collect();
    assert_eq!(files(&place.root()), wanted);

    let again = said(&place.install(&[]));
    assert!(
        again
            .lines()
            .all(|l| l == "done" || l.starts_with("start the sweep")),
        "{again}"
    );

    // What hooks leave behind at run time goes as well, what administrators made stays.
    std::fs::create_dir_all(place.root().join("var/oneks/locks")).unwrap();
    std::fs::write(place.root().join("var/oneks/locks/7.lock"), "").unwrap();
    let own = place
        .root()
        .join("var/oneks/profiles/controlplanes/own/controlplane.conf");
    std::fs::create_dir_all(own.parent().unwrap()).unwrap();
    std::fs::write(&own, "name: mine\n").unwrap();
    let told = said(&place.install(&["-r"]));
    assert!(
        told.contains("kept") && told.contains("var/oneks/profiles"),
        "{told}"
    );
    assert_eq!(files(&place.root()), [own].into());
}

#[test]
fn an_edited_configuration_is_kept_and_an_old_one_is_not() {
    let place = Place::new();
    place.install(&[]);
    let config = place.root().join("etc/oneks.conf");
    let fresh = std::fs::read_to_string(&config).unwrap();
    let edited = format!("{fresh}log_level: debug\n");
    let beside = place.root().join("etc/oneks.conf.new");

    std::fs::write(&config, &edited).unwrap();
    assert!(said(&place.install(&[])).contains("kept"));
    assert_eq!(std::fs::read_to_string(&config).unwrap(), edited);
    assert_eq!(std::fs::read_to_string(&beside).unwrap(), fresh);
    std::fs::remove_file(&beside).unwrap();
    assert!(said(&place.install(&["-k"])).contains("kept"));
    assert!(!beside.exists());

    // As an older version left it: the record knows it, so that nobody edited it.
    let record = place.root().join("lib/oneks/installed");
    let old = "# of an older version\n";
    std::fs::write(&config, old).unwrap();
    let stale = place.root().join("lib/oneks/hooks/gone");
    std::fs::write(&stale, "a program of an older version").unwrap();
    let lines: String = std::fs::read_to_string(&record)
        .unwrap()
        .lines()
        .filter(|line| !line.ends_with("/etc/oneks.conf"))
        .map(|line| format!("{line}\n"))
        .chain([&config, &stale].map(|path| format!("{} {}\n", sum(path), path.display())))
        .collect();
    std::fs::write(&record, lines).unwrap();
    place.install(&[]);
    assert_eq!(std::fs::read_to_string(&config).unwrap(), fresh);
    assert!(!stale.exists(), "what is not installed any more stays");

    std::fs::write(&config, &edited).unwrap();
    let told = said(&place.install(&["-r"]));
    assert_eq!(told.matches("kept").count(), 1, "{told}");
    assert_eq!(files(&place.root()), [config].into());
}

fn sum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').next().unwrap().to_owned()
}

#[test]
fn a_package_finds_its_files_below_destdir_where_the_programs_look_for_them() {
    let place = Place::new();
    let stage = place.folder.path().join("stage");
    let output = Command::new(format!("{SOURCE}/install.sh"))
        .args(["-u", "nobody", "--programs"])
        .arg(place.folder.path().join("programs"))
        .env("DESTDIR", &stage)
        .env_remove("ONE_LOCATION")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let layout = Layout::of(&Environment::new(|_| None));
    let staged = |path: &Path| stage.join(path.strip_prefix("/").unwrap());
    assert_eq!(mode(&staged(&layout.config)), 0o640);
    assert_eq!(mode(&staged(&layout.hooks).join("vm_state")), 0o755);
    assert_eq!(mode(&staged(&layout.drivers).join("capone/capone")), 0o755);
    for folder in &layout.profiles {
        assert!(staged(folder).is_dir(), "{}", folder.display());
    }
    // Units and configuration of others name the same paths.
    let unit =
        std::fs::read_to_string(stage.join("usr/lib/systemd/system/opennebula-ks-sweep.service")).unwrap();
    assert!(unit.contains(&format!("ExecStart={}\n", layout.hooks.join("sweep").display())));
    let sweep_all = "opennebula-ks-sweep-all.service";
    let unit = std::fs::read_to_string(stage.join("usr/lib/systemd/system").join(sweep_all)).unwrap();
    assert!(unit.contains(&format!(
        "ExecStart={} --all\n",
        layout.hooks.join("sweep").display()
    )));
    let hem = stage.join("usr/lib/systemd/system/opennebula-hem.service.d/oneks.conf");
    let hem = std::fs::read_to_string(hem).unwrap();
    assert!(hem.contains(&format!("\nWants={sweep_all}\n")));
    let rotated = std::fs::read_to_string(stage.join("etc/logrotate.d/opennebula-ks")).unwrap();
    assert!(rotated.starts_with(&format!("{} {{", layout.log.display())));
}
