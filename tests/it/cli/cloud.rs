//! A cloud with hooks that the command can be run against.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use oneks_sandbox::{Serve, Server};
use serde_json::{Value, json};

use crate::support::life::Life;
use crate::support::prefix::Prefix;

/// The cloud.
pub struct Cloud {
    /// The sandbox and the hooks.
    pub life: Life,
    /// An installation, and a folder to work in.
    pub prefix: Prefix,
    _server: Server,
}

/// What a run of the command said.
#[derive(Debug)]
pub struct Answer {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Answer {
    /// Standard output of a run that must have succeeded.
    pub fn good(self) -> String {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self.out
    }

    /// Standard error of a run that must have failed with this code.
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self.err
    }
}

/// A small cluster for the driver `dummy`, with two workers.
pub fn spec() -> Value {
    json!({
        "kubernetes_version": "v1.33.7",
        "driver": "dummy",
        "deployment": {
            "cluster": {"id": 0},
            "networks": {"public": {"id": 0}, "private": {"id": 1}},
            "datastores": {"image": {"id": 1}},
        },
        "control_plane": {"flavour": "standalone"},
        "node_groups": [{"name": "workers", "flavour": "small", "user_inputs_values": {"count": 2}}],
    })
}

impl Cloud {
    /// A usual cloud.
    pub fn new() -> Self {
        Self::around(Life::plain())
    }

    /// The command beside a cloud that is there already.
    pub fn around(life: Life) -> Self {
        // Whoever tests moves the clock.
        let serve = Serve {
            speed: 0.0,
            ..Serve::default()
        };
        let server = Server::start(&life.sandbox, serve).unwrap();
        let prefix = Prefix::new(&server.endpoint());
        for (name, password) in [
            ("alice", "alicepw"),
            ("mallory", "mallorypw"),
            ("oneadmin", "opennebula"),
        ] {
            std::fs::write(prefix.root().join(name), format!("{name}:{password}\n")).unwrap();
        }
        Self {
            life,
            prefix,
            _server: server,
        }
    }

    /// A usual cloud with the cluster `web` of alice, which runs. Its id.
    pub fn with_web() -> (Self, u32) {
        let mut cloud = Self::new();
        let id = cloud.life.create("alice:alicepw", "web", &spec());
        cloud.life.until_state(id, "RUNNING", 900);
        (cloud, id)
    }

    /// A file in the folder to work in.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.prefix.root().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs the command as a user; arguments are separated by blanks. Time stands still meanwhile.
    pub fn run(&self, user: &str, arguments: &str) -> Answer {
        let output = self.command(user, arguments).output().unwrap();
        answer(output)
    }

    /// Runs the command as alice.
    pub fn alice(&self, arguments: &str) -> Answer {
        self.run("alice", arguments)
    }

    /// Runs the command as alice while time passes, for what waits.
    pub fn watch(&mut self, arguments: &str) -> Answer {
        let mut child = self
            .command("alice", &format!("{arguments} --interval 0"))
            .spawn()
            .unwrap();
        while child.try_wait().unwrap().is_none() {
            self.life.pass_time(1);
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        answer(child.wait_with_output().unwrap())
    }

    /// Runs the command as a user while time passes and no hook runs.
    pub fn watch_without_hooks(&mut self, user: &str, arguments: &str) -> Answer {
        let mut child = self.command(user, arguments).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            self.life.sandbox.advance(1);
            self.life.sandbox.take_events();
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        answer(child.wait_with_output().unwrap())
    }

    /// The command as bash calls it when the Tab key is pressed.
    pub fn command_for_completion(&self) -> Command {
        let mut command = self.command("alice", "");
        command
            .env("COMPLETE", "bash")
            .env("_CLAP_IFS", "\u{b}")
            .env("_CLAP_COMPLETE_COMP_TYPE", "9");
        command.env("_CLAP_COMPLETE_SPACE", "true");
        command
    }

    /// The command as a user starts it.
    pub fn command(&self, user: &str, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneks"));
        command
            .args(arguments.split_whitespace())
            .env_clear()
            .envs(self.prefix.environment())
            .env("HOME", self.prefix.root())
            .env("ONE_AUTH", self.auth(user))
            .env("TZ", "UTC")
            .env("ONEKS_NOW", self.life.sandbox.now().to_string())
            .current_dir(self.prefix.root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The file with a user's name and password.
    pub fn auth(&self, user: &str) -> PathBuf {
        self.prefix.root().join(user)
    }

    /// The SPEC of a cluster.
    pub fn spec_of(&self, id: u32) -> Value {
        serde_json::from_str(&self.life.attribute(id, "SPEC").unwrap()).unwrap()
    }
}

/// What a process said.
pub fn answer(output: std::process::Output) -> Answer {
    Answer {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
