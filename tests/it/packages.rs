//! The packages hold what `share/files.table` says. `tests/package.sh` builds and tries them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::install::{files, table};

const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// What only a Debian package has.
const DEBIAN: [&str; 1] = ["/usr/share/lintian/overrides/oneks"];
/// What only an RPM package has.
const RPM: [&str; 1] = ["/usr/share/licenses/oneks/LICENSE"];

/// A file of a package.
#[derive(Debug, PartialEq, Eq)]
struct Packed {
    from: String,
    mode: u32,
    config: bool,
}

type Files = BTreeMap<String, Packed>;

/// What the table puts into a package.
fn wanted(zsh: &str) -> Files {
    let mut wanted = Files::new();
    for row in table() {
        let place = |to: &str| {
            let (name, rest) = to.split_once('/').unwrap_or((to, ""));
            let base = match name {
                "BIN" => "/usr/bin",
                "LIB" => "/usr/lib/one/oneks",
                "ETC" => "/etc/one",
                "SHARE" => "/usr/share/one/oneks",
                "UNITS" => "/usr/lib/systemd/system",
                "LOGROTATE" => "/etc/logrotate.d",
                "MAN" => "/usr/share/man/man1",
                "DOC" => "/usr/share/doc/oneks",
                "BASH" => "/usr/share/bash-completion/completions",
                "ZSH" => zsh,
                "FISH" => "/usr/share/fish/vendor_completions.d",
                other => panic!("{other}"),
            };
            format!("{base}/{rest}").trim_end_matches('/').to_owned()
        };
        let mut add = |to: String, from: String| {
            let packed = Packed {
                from,
                mode: row.mode,
                config: row.kind == "config",
            };
            assert!(wanted.insert(to, packed).is_none());
        };
        match row.kind.as_str() {
            "program" => add(place(&row.to), format!("target/release/{}", row.from)),
            "file" | "config" => add(place(&row.to), row.from.clone()),
            "files" => {
                let folder = Path::new(SOURCE).join(&row.from);
                for file in files(&folder) {
                    let rest = file.strip_prefix(&folder).unwrap().display();
                    add(
                        format!("{}/{rest}", place(&row.to)),
                        format!("{}/{rest}", row.from),
                    );
                }
            }
            // Made by the scripts of the packages, or at run time.
            "dir" | "state" | "log" => {}
            other => panic!("{other}"),
        }
    }
    wanted
}

/// The files that a pattern of the packages' tools names, with what is below its first star.
fn matching(pattern: &str) -> Vec<(String, PathBuf)> {
    let Some((folder, _)) = pattern.split_once("/*") else {
        let name = Path::new(pattern).file_name().unwrap();
        return vec![(pattern.to_owned(), PathBuf::from(name))];
    };
    let root = Path::new(SOURCE).join(folder);
    let deep = pattern.ends_with("**/*");
    files(&root)
        .into_iter()
        .map(|file| file.strip_prefix(&root).unwrap().to_owned())
        .filter(|rest| deep || rest.components().count() == 1)
        .map(|rest| (format!("{folder}/{}", rest.display()), rest))
        .collect()
}

fn add(packed: &mut Files, source: &str, dest: &str, mode: &str, config: impl Fn(&str) -> bool) {
    for (from, rest) in matching(source) {
        let to = if dest.ends_with('/') {
            format!("{dest}{}", rest.display())
        } else {
            dest.to_owned()
        };
        let to = format!("/{}", to.trim_start_matches('/'));
        let config = config(&to);
        let mode = u32::from_str_radix(mode, 8).unwrap();
        assert!(
            packed.insert(to.clone(), Packed { from, mode, config }).is_none(),
            "{to} is packed twice"
        );
    }
}

/// The table `[package.metadata.…]` of the manifest.
fn metadata(name: &str) -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--no-deps",
            "--offline",
            "--manifest-path",
        ])
        .arg(format!("{SOURCE}/Cargo.toml"))
        .output()
        .unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = all["packages"].as_array().unwrap();
    let root = packages.iter().find(|p| p["name"] == "oneks").unwrap();
    root["metadata"][name].clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn the_debian_package_holds_the_files_of_the_table() {
    let deb = metadata("deb");
    let config: Vec<&str> = deb["conf-files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_str().unwrap())
        .collect();
    let mut packed = Files::new();
    for asset in deb["assets"].as_array().unwrap() {
        let asset: Vec<&str> = asset
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_str().unwrap())
            .collect();
        let [source, dest, mode] = asset[..] else {
            panic!("{asset:?}");
        };
        add(&mut packed, source, dest, mode, |to| config.contains(&to));
    }
    for only in DEBIAN {
        packed.remove(only).unwrap();
    }
    assert_eq!(packed, wanted("/usr/share/zsh/vendor-completions"));
}

#[test]
fn the_rpm_package_holds_the_files_of_the_table() {
    let rpm = metadata("generate-rpm");
    let mut packed = Files::new();
    for asset in rpm["assets"].as_array().unwrap() {
        let config = text(asset, "config") == "noreplace";
        add(
            &mut packed,
            text(asset, "source"),
            text(asset, "dest"),
            text(asset, "mode"),
            |_| config,
        );
    }
    // The tool that packs can't make a package own folders; its script takes them away when they are empty.
    let script = std::fs::read_to_string(format!("{SOURCE}/share/packages/rpm/postun.sh")).unwrap();
    let ours = |folder: &&Path| {
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        name == "oneks" || name.ends_with(".service.d")
    };
    let folders: BTreeSet<&Path> = packed
        .keys()
        .flat_map(|path| Path::new(path).ancestors().skip(1).filter(ours))
        .collect();
    assert!(folders.len() > 4, "{folders:?}");
    for folder in folders {
        assert!(
            script.contains(&format!("{} ", folder.display())),
            "{}",
            folder.display()
        );
    }
    for only in RPM {
        packed.remove(only).unwrap();
    }
    assert_eq!(packed, wanted("/usr/share/zsh/site-functions"));
}

#[test]
fn the_scripts_of_the_packages_give_files_to_whom_the_table_says() {
    let read = |name: &str| std::fs::read_to_string(format!("{SOURCE}/share/packages/{name}")).unwrap();
    for (installs, removes) in [("deb/postinst", "deb/postrm"), ("rpm/post.sh", "rpm/postun.sh")] {
        let (installs, removes) = (read(installs), read(removes));
        for row in table().iter().filter(|row| row.owner != "root:root") {
            let (user, group) = row.owner.split_once(':').unwrap();
            let (user, group) = [user, group]
                .map(|name| if name == "ONE" { "oneadmin" } else { name })
                .into();
            match (row.kind.as_str(), row.to.as_str()) {
                ("config", "ETC/oneks.conf") => {
                    assert!(installs.contains(&format!("chown {user}:{group} /etc/one/oneks.conf")));
                }
                ("dir", "VAR/profiles") => {
                    let made = format!(
                        "-o {user} -g {group} -m {:04o} /var/lib/one/oneks/profiles",
                        row.mode
                    );
                    assert!(installs.contains(&made), "{made}");
                    assert!(removes.contains("rmdir --ignore-fail-on-non-empty /var/lib/one/oneks/profiles"));
                }
                ("state", "LOCK") => assert!(removes.contains("rm -rf /run/lock/one/oneks\n")),
                ("log", "LOG") => {}
                other => panic!("no script knows of {other:?}"),
            }
        }
    }
}
