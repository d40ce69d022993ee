//! `oneks generate`: files that are made from the definition of the command line. For packagers.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory, Subcommand};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use oneks::manual::{self, SEE_ALSO, visible};

use crate::app::App;
use crate::args::Cli;
use crate::failure::{Code, Failure, with_path};

/// `oneks generate`.
#[derive(Debug, Subcommand)]
pub enum Generate {
    /// Write the man pages into a folder
    Man {
        /// The folder
        dir: PathBuf,
    },
    /// Write the completions of bash, zsh and fish into a folder
    Completions {
        /// The folder
        dir: PathBuf,
    },
    /// Print the examples of all commands
    Examples,
}

impl Generate {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let root = root();
        match self {
            Self::Man { dir } => man(&root, dir),
            Self::Completions { dir } => completions(dir),
            Self::Examples => {
                for line in examples(&root) {
                    app.out.line(&line)?;
                }
                Ok(())
            }
        }
    }
}

/// The whole command line, with the options of every command where they can be used.
fn root() -> Command {
    let mut root = Cli::command();
    root.build();
    root
}

fn man(root: &Command, dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(with_path(dir))?;
    page(root, "oneks", dir)?;
    for command in visible(root) {
        let name = format!("oneks-{}", command.get_name());
        page(command, &name, dir)?;
        for resource in visible(command) {
            page(resource, &format!("{name}-{}", resource.get_name()), dir)?;
        }
    }
    Ok(())
}

fn page(command: &Command, name: &str, dir: &Path) -> Result<(), Failure> {
    let path = dir.join(format!("{name}.1"));
    let behind = if name == "oneks" {
        appendix()
    } else {
        SEE_ALSO.to_owned()
    };
    let page = manual::page(command, &behind).map_err(with_path(&path))?;
    std::fs::write(&path, page).map_err(with_path(&path))
}

/// What the root page has beside the commands.
fn appendix() -> String {
    let mut text = String::from(".SH \"EXIT STATUS\"\n");
    for (code, meaning) in Code::TABLE {
        // Writing to a string can't fail.
        let _ = writeln!(text, ".TP\n\\fB{}\\fR\n{meaning}", code.number());
    }
    text.push_str(".SH ENVIRONMENT\n");
    for (name, meaning) in ENVIRONMENT {
        let _ = writeln!(text, ".TP\n\\fB{name}\\fR\n{meaning}");
    }
    text
}

/// Variables that matter.
const ENVIRONMENT: [(&str, &str); 6] = [
    (
        "ONE_AUTH",
        "file with the session, user:password; otherwise ~/.one/one_auth",
    ),
    (
        "ONE_XMLRPC",
        "address of OpenNebula's XML-RPC server; otherwise ~/.one/one_endpoint, then the local host",
    ),
    ("ONE_LOCATION", "folder of a self-contained installation"),
    ("KUBECONFIG", "the file that kubeconfig --merge writes to"),
    ("VISUAL, EDITOR", "the editor of update"),
    ("NO_COLOR", "set to anything, turns colours off"),
];

fn completions(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(with_path(dir))?;
    let shells: [(&str, &dyn EnvCompleter); 3] =
        [("oneks.bash", &Bash), ("_oneks", &Zsh), ("oneks.fish", &Fish)];
    for (file, shell) in shells {
        let path = dir.join(file);
        let mut script = Vec::new();
        shell.write_registration("COMPLETE", "oneks", "oneks", "oneks", &mut script)?;
        std::fs::write(&path, script).map_err(with_path(&path))?;
    }
    Ok(())
}

/// The lines of all examples that are commands.
fn examples(command: &Command) -> Vec<String> {
    let text = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let own = text
        .lines()
        .filter(|l| l.starts_with("  oneks "))
        .map(|l| l.trim().to_owned());
    own.chain(visible(command).flat_map(examples)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &Command, path: &str) {
            if command.has_subcommands() && visible(command).next().is_some() {
                visible(command).for_each(|c| check(c, &format!("{path} {}", c.get_name())));
                return;
            }
            let examples = examples(command);
            assert!(!examples.is_empty(), "{path} has no example");
            let verb: Vec<&str> = path.split(' ').take(2).collect();
            for example in examples {
                assert!(example.starts_with(&verb.join(" ")), "{path}: {example}");
            }
        }
        check(&root(), "oneks");
    }
}
