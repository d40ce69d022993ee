//! The documentation does what it says: blocks that follow `<!-- run as USER -->` are run, in the order in which they
//! stand, against a cloud in memory. Each page begins with a front-end of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::capone_life;
use crate::cli::{Answer, Cloud, answer};
use crate::install::{files, table};
use crate::support::life::front_end;

const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// A block of commands.
#[derive(Debug)]
struct Block {
    user: String,
    /// Exit status of its last command.
    ends_with: i32,
    text: String,
}

/// The marked blocks of a page.
fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    for part in page.split("<!-- run as ").skip(1) {
        let (mark, rest) = part.split_once(" -->\n").expect("a mark ends in its line");
        let (user, ends_with) = mark.split_once(", ends with ").unwrap_or((mark, "0"));
        let (_, block) = rest.split_once("```sh\n").expect("a block of commands follows");
        assert!(rest.starts_with("```sh\n"), "{mark}: the block follows at once");
        let (text, _) = block.split_once("```").expect("the block ends");
        found.push(Block {
            user: user.to_owned(),
            ends_with: ends_with.parse().unwrap(),
            text: text.to_owned(),
        });
    }
    found
}

/// A front-end as the packages leave it, with users who have folders of their own.
struct FrontEnd {
    cloud: Cloud,
}

impl FrontEnd {
    fn new() -> Self {
        let (life, _) = capone_life::cloud();
        let mut cloud = Cloud::around(life);
        let root = cloud.prefix.root().to_owned();
        let profiles = root.join("var/oneks/profiles");
        fs::remove_file(&profiles).unwrap();
        fs::create_dir_all(&profiles).unwrap();
        fs::create_dir_all(root.join("share/oneks")).unwrap();
        link(
            &Path::new(SOURCE).join("templates/profiles"),
            &root.join("share/oneks/profiles"),
        );
        cloud.life.service = front_end(&cloud.prefix, Arc::new(cloud.life.sandbox.clone()));
        for user in ["alice", "oneadmin"] {
            fs::create_dir_all(root.join("home").join(user)).unwrap();
        }
        fs::create_dir(root.join("bin")).unwrap();
        // Time passes in memory: whoever waits looks again at once.
        let oneks = format!(
            "#!/bin/sh\nfor word in \"$@\"; do\n  [ \"$word\" = --wait ] && set -- \"$@\" --interval 0\ndone\n\
             ONEKS_NOW=$(cat {}) exec {} \"$@\"\n",
            root.join("now").display(),
            env!("CARGO_BIN_EXE_oneks"),
        );
        fs::write(root.join("bin/oneks"), oneks).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(root.join("bin/oneks"), mode).unwrap();
        Self { cloud }
    }

    /// The block with the paths of this installation.
    fn placed(&self, block: &Block) -> String {
        let root = self.cloud.prefix.root().display().to_string();
        block
            .text
            .replace("/usr/lib/one/oneks", &format!("{root}/lib/oneks"))
            .replace("/usr/share/one/oneks", &format!("{root}/share/oneks"))
            .replace("/usr/share/doc/oneks/docs", &format!("{SOURCE}/docs"))
            .replace("/var/lib/one/oneks", &format!("{root}/var/oneks"))
    }

    fn run(&mut self, block: &Block) -> Answer {
        let root = self.cloud.prefix.root().to_owned();
        let tell_time = |cloud: &Cloud| {
            let new = root.join("now.new");
            fs::write(&new, cloud.life.sandbox.now().to_string()).unwrap();
            fs::rename(new, root.join("now")).unwrap();
        };
        tell_time(&self.cloud);
        let mut child = Command::new("/bin/bash")
            .args(["-euo", "pipefail", "-c", &self.placed(block)])
            .env_clear()
            .envs(self.cloud.prefix.environment())
            .env("PATH", format!("{}:/usr/bin:/bin", root.join("bin").display()))
            .env("HOME", root.join("home").join(&block.user))
            .env("ONE_AUTH", self.cloud.auth(&block.user))
            .env("TZ", "UTC")
            .current_dir(root.join("home").join(&block.user))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while child.try_wait().unwrap().is_none() {
            if block.text.contains("--wait") {
                self.cloud.life.pass_time(2);
                tell_time(&self.cloud);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        answer(child.wait_with_output().unwrap())
    }
}

fn link(from: &Path, to: &Path) {
    std::os::unix::fs::symlink(from, to).unwrap();
}

/// Runs a page. Nothing may be left of what its readers made.
fn follow(page: &str, commands: usize) {
    let text = fs::read_to_string(Path::new(SOURCE).join(page)).unwrap();
    let blocks = blocks(&text);
    let lines = blocks.iter().flat_map(|b| b.text.lines());
    assert_eq!(
        lines.filter(|l| l.starts_with("oneks ")).count(),
        commands,
        "{page}"
    );
    let mut front_end = FrontEnd::new();
    for part in text.split("<!-- file ").skip(1) {
        let (name, rest) = part
            .split_once(" -->\n```json\n")
            .expect("a file in JSON follows");
        let (json, _) = rest.split_once("```").unwrap();
        fs::write(front_end.cloud.prefix.root().join("home/alice").join(name), json).unwrap();
    }
    for block in &blocks {
        let answer = front_end.run(block);
        assert_eq!(
            answer.code, block.ends_with,
            "{page}:\n{}\n{}\n{}",
            block.text, answer.out, answer.err
        );
    }
    assert_eq!(front_end.cloud.life.left_over(), Vec::<String>::new(), "{page}");
    assert_eq!(front_end.cloud.life.errors, Vec::<String>::new(), "{page}");
}

#[test]
fn the_readme_shows_a_life() {
    follow("README.md", 8);
}

#[test]
fn the_quick_start_ends_with_a_cluster() {
    follow("docs/quickstart.md", 13);
}

#[test]
fn operations_are_as_described() {
    follow("docs/operations.md", 14);
}

#[test]
fn profiles_of_administrators_are_made_as_described() {
    follow("docs/profiles.md", 5);
}

#[test]
fn a_driver_in_another_language_makes_clusters() {
    follow("docs/drivers.md", 5);
}

/// The files that a page links to, as the page names them.
fn links(page: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(page).unwrap();
    let targets = text.split("](").skip(1).filter_map(|part| {
        let target = part.split(')').next()?.split('#').next()?.to_owned();
        (!target.is_empty() && !target.contains("://")).then_some(target)
    });
    targets.map(|t| page.parent().unwrap().join(t)).collect()
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(SOURCE);
    let mut pages: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "SECURITY.md"]
        .map(|p| root.join(p))
        .into();
    let all = files(&root.join("docs")).into_iter();
    pages.extend(all.filter(|p| p.extension().is_some_and(|e| e == "md")));
    pages
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let pages = pages();
    let mut linked: Vec<PathBuf> = Vec::new();
    for page in &pages {
        for path in links(page) {
            assert!(path.exists(), "{}: {}", page.display(), path.display());
            linked.push(path.canonicalize().unwrap());
        }
    }
    for page in pages
        .iter()
        .filter(|p| p.starts_with(Path::new(SOURCE).join("docs")))
    {
        let page = page.canonicalize().unwrap();
        assert!(linked.contains(&page), "{}: nobody links to it", page.display());
    }
}

/// What is installed with the programs is complete: no page leads out of it.
#[test]
fn installed_pages_lead_to_installed_pages() {
    let root = Path::new(SOURCE).canonicalize().unwrap();
    let mut installed: BTreeSet<PathBuf> = BTreeSet::new();
    for row in table().iter().filter(|row| row.to.starts_with("DOC/")) {
        // Where it was is where it goes, or links between the files would break.
        assert_eq!(row.to, format!("DOC/{}", row.from));
        let from = root.join(&row.from);
        if row.kind == "files" {
            installed.extend(files(&from));
        } else {
            installed.insert(from);
        }
    }
    assert!(installed.len() > 8, "{installed:?}");
    for page in installed
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "md"))
    {
        for path in links(page) {
            let path = path.canonicalize().unwrap();
            assert!(
                installed.contains(&path),
                "{} leads to {}",
                page.display(),
                path.display()
            );
        }
    }
}
