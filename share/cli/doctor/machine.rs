//! Checks of files and services of the front-end.

use std::path::PathBuf;

use oneks::config::Config;
use oneks_driver::Info;
use serde_json::Value;

use super::facts::{AGE_OF_SWEEP, Access, FileFact, Timer};
use super::{Check, Fact, Finding};

/// The address of the hosts at which the transparent proxy listens for VMs.
const TPROXY_ADDRESS: &str = "169.254.16.9";

/// OneGate's port, as VMs know it.
const ONEGATE_PORT: u16 = 5030;

pub(super) fn configuration(config: &Fact<Config>) -> Finding {
    let check = Check(
        "configuration",
        "hooks refuse to work with a configuration that they don't understand",
    );
    match config {
        Ok(_) => check.ok("understood"),
        Err(reason) => check.failed(reason.clone(), "correct the line, or put a # before it"),
    }
}

/// The server credential: there, of the right user only, and accepted.
pub(super) fn credential(file: &FileFact, service: &Fact<u32>, works: &Fact<()>) -> Finding {
    let check = Check(
        "server credential",
        "by it the hooks act as a cluster's owner; whoever reads it can be anybody",
    );
    let path = file.path.display();
    let about = match &file.about {
        Ok(Some(about)) => about,
        Ok(None) => {
            let folder = file.path.parent().unwrap_or(&file.path).display();
            return check.failed(
                format!("there is no {path}"),
                format!("cp -p {folder}/sunstone_auth {path}"),
            );
        }
        Err(reason) => return check.unknown(reason.clone()),
    };
    if about.mode & 0o077 != 0 {
        return check.failed(
            format!("{path} can be read by others (mode {:o})", about.mode),
            format!("chmod 600 {path}"),
        );
    }
    if service.as_ref().is_ok_and(|uid| about.uid != *uid) {
        return check.failed(
            format!("{path} belongs to user {}, the hooks run as another", about.uid),
            format!("chown oneadmin: {path}"),
        );
    }
    match works {
        Ok(()) => check.ok(format!("{path}, accepted by OpenNebula")),
        Err(reason) if reason.contains("needs oneadmin") => check.unknown(reason.clone()),
        Err(reason) => check.failed(
            format!("{path} is not accepted: {reason}"),
            "oneuser show serveradmin; its password must be the one of the file, and the clock must be right",
        ),
    }
}

/// Files that the hooks, or everybody, must be able to use.
pub(super) fn files(files: &[FileFact], service: &Fact<u32>) -> Finding {
    let check = Check(
        "files",
        "hooks run as oneadmin; what they can't use stops them, what others can write endangers them",
    );
    let mut wrong: Vec<(String, String)> = Vec::new();
    let mut unknown = None;
    for file in files {
        let path = file.path.display();
        let about = match &file.about {
            Ok(Some(about)) => about,
            Ok(None) if file.access == Access::Programs => {
                wrong.push((format!("{path} is missing"), "install OneKS again".to_owned()));
                continue;
            }
            // The others are made when they are needed.
            Ok(None) => continue,
            Err(reason) => {
                unknown = Some(reason.clone());
                continue;
            }
        };
        let service = service.as_ref().ok().copied();
        match file.access {
            Access::Programs => {
                if about.mode & 0o111 == 0 {
                    wrong.push((format!("{path} can't be executed"), format!("chmod 755 {path}")));
                } else if about.mode & 0o022 != 0 {
                    let found = format!("{path} can be written by others (mode {:o})", about.mode);
                    wrong.push((found, format!("chmod go-w {path}")));
                }
            }
            Access::Configuration if about.mode & 0o022 != 0 => {
                let found = format!("{path} can be written by others (mode {:o})", about.mode);
                wrong.push((found, format!("chmod 640 {path}")));
            }
            Access::Configuration => {}
            Access::Own => {
                if service.is_some_and(|uid| about.uid != uid) {
                    let found = format!(
                        "{path} belongs to user {}, so that the hooks can't write it",
                        about.uid
                    );
                    wrong.push((found, format!("chown oneadmin: {path}")));
                }
            }
        }
    }
    match (wrong.split_first(), unknown) {
        (Some(((found, mend), rest)), _) => {
            let more = if rest.is_empty() {
                String::new()
            } else {
                format!(", and {} more", rest.len())
            };
            check.failed(format!("{found}{more}"), mend.clone())
        }
        (None, Some(reason)) => check.unknown(reason),
        (None, None) => check.ok("owners and modes are right"),
    }
}

pub(super) fn drivers(drivers: &[(String, Fact<Info>)]) -> Finding {
    let check = Check("drivers", "a driver says how a cluster is realised");
    if drivers.is_empty() {
        return check.failed("none is installed", "install OneKS again");
    }
    if let Some((name, Err(reason))) = drivers.iter().find(|(_, info)| info.is_err()) {
        let mend = format!("echo '{{\"protocol\":1,\"action\":\"info\"}}' | <the driver {name}>");
        return check.failed(format!("{name}: {reason}"), mend);
    }
    let known = drivers.iter().filter_map(|(_, info)| info.as_ref().ok());
    let names: Vec<String> = known
        .map(|info| format!("{} {}", info.name, info.version))
        .collect();
    check.ok(names.join(", "))
}

pub(super) fn profiles(errors: &[String], families: usize) -> Finding {
    let check = Check(
        "profiles",
        "a broken family is not offered; what was made from it lives on",
    );
    match (errors, families) {
        ([], 0) => check.failed("there is none", "install OneKS again"),
        ([], n) => check.ok(format!("{n} families")),
        ([error, rest @ ..], _) => {
            let more = if rest.is_empty() {
                String::new()
            } else {
                format!(", and {} more", rest.len())
            };
            check.failed(format!("{error}{more}"), "oneks profile check")
        }
    }
}

/// Evidence that the sweep runs: its mark, or the timer.
pub(super) fn sweep(timer: &Fact<Timer>, swept: &Fact<Option<u64>>, now: u64) -> Finding {
    let check = Check(
        "sweep",
        "it is the only clock: without it lost events and passed deadlines go unnoticed",
    );
    let mend = "systemctl enable --now opennebula-ks-sweep.timer";
    let age = swept
        .as_ref()
        .ok()
        .copied()
        .flatten()
        .map(|at| now.saturating_sub(at));
    if let Some(age) = age.filter(|age| *age <= AGE_OF_SWEEP) {
        return check.ok(format!("ran {age} s ago"));
    }
    let last = match age {
        Some(age) => format!("ran {age} s ago"),
        None => "never ran since this machine started".to_owned(),
    };
    match (timer, swept) {
        (Ok(timer), Ok(_)) if timer.active => check.warning(
            format!("the timer is active, but the sweep {last}"),
            "journalctl -u opennebula-ks-sweep",
        ),
        (Ok(timer), Err(_)) if timer.active => check.ok("the timer is active"),
        (Ok(timer), _) => check.failed(
            format!(
                "the timer is {}, and the sweep {last}",
                if timer.installed {
                    "not active"
                } else {
                    "not installed"
                }
            ),
            mend,
        ),
        (Err(_), Ok(_)) => check.failed(format!("it {last}"), mend),
        (Err(reason), Err(_)) => check.unknown(reason.clone()),
    }
}

pub(super) fn clock(synchronised: &Fact<bool>) -> Finding {
    let check = Check(
        "clock",
        "sessions are valid for minutes: a front-end that is wrong by more can do nothing",
    );
    match synchronised {
        Ok(true) => check.ok("synchronised"),
        Ok(false) => check.warning("not synchronised", "timedatectl set-ntp true"),
        Err(reason) => check.unknown(reason.clone()),
    }
}

/// Entries of the transparent proxy in `OpenNebulaNetwork.conf`.
pub(super) fn tproxy(file: &(PathBuf, Fact<String>), xmlrpc: &Fact<String>) -> Finding {
    let check = Check(
        "tproxy",
        "VMs without a route to the front-end reach OneGate and OpenNebula through the proxy of their host",
    );
    let (path, text) = file;
    let (text, xmlrpc) = match (text, xmlrpc) {
        (Ok(text), Ok(xmlrpc)) => (text, xmlrpc),
        (Err(reason), _) | (_, Err(reason)) => return check.unknown(reason.clone()),
    };
    let mut wanted = vec![ONEGATE_PORT];
    wanted.extend(proxied_port(xmlrpc));
    let value: Value = match oneks_core::yaml::from_str(text) {
        Ok(value) => value,
        Err(e) => {
            let found = format!("{}: {e}", path.display());
            return check.failed(found, format!("correct {}", path.display()));
        }
    };
    let entries = value[":tproxy"].as_array().cloned().unwrap_or_default();
    let port = |entry: &Value| entry[":service_port"].as_u64();
    let missing: Vec<u16> = wanted
        .into_iter()
        .filter(|wanted| !entries.iter().any(|e| port(e) == Some(u64::from(*wanted))))
        .collect();
    if !missing.is_empty() {
        let ports: Vec<String> = missing.iter().map(ToString::to_string).collect();
        let lines: Vec<String> = missing
            .iter()
            .map(|p| {
                format!(
                    "- :service_port: {p}\n  :remote_addr: <address of the front-end>\n  :remote_port: {p}"
                )
            })
            .collect();
        return check.failed(
            format!("no entry for {} in {}", ports.join(" and "), path.display()),
            format!(
                "below :tproxy: in {}:\n{}\nthen onehost sync -f",
                path.display(),
                lines.join("\n")
            ),
        );
    }
    if let Some(entry) = entries.iter().find(|e| !e[":networks"].is_null()) {
        return check.warning(
            format!("the entry for {} holds for some networks only", entry[":service_port"]),
            "take :networks: away, or see that the public networks of clusters are among them; then onehost sync -f",
        );
    }
    check.ok("5030 and OpenNebula's own port; changes take effect after onehost sync -f")
}

/// The port that the proxy must listen at for OpenNebula's API, unless VMs reach it directly.
fn proxied_port(url: &str) -> Option<u16> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    let (host, port) = host.split_once(':').unwrap_or((host, "80"));
    (host == TPROXY_ADDRESS).then(|| port.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
