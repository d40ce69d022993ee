//! Reading an event: is it ours, and which cluster does it point at?

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quick_xml::events::Event;

use crate::gate::{Deleted, Hints};

/// The kinds of hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `one.document.…`
    Document,
    /// A VM's state.
    VmState,
    /// `one.vm.update`
    VmUpdate,
    /// `one.internal.vmmonitor`
    GuestExec,
    /// `one.vrouter.…`
    Vrouter,
}

impl Kind {
    /// The executable's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::VmState => "vm_state",
            Self::VmUpdate => "vm_update",
            Self::GuestExec => "guest_exec",
            Self::Vrouter => "vrouter",
        }
    }
}

/// What an event is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing, and why.
    Drop(&'static str),
    /// Look at these clusters. More than one only where a forged parameter leaves a doubt.
    Look {
        /// The clusters.
        clusters: Vec<u32>,
        /// What else the event knew.
        hints: Hints,
    },
    /// Look at the cluster of this VM, which the event does not name.
    LookVm {
        /// The VM.
        vm: u32,
    },
}

/// Reads an event from a hook's standard input.
pub fn read(kind: Kind, mut input: impl Read) -> Verdict {
    let mut text = Vec::new();
    if input.read_to_end(&mut text).is_err() {
        return Verdict::Drop("unreadable");
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let Some(xml) = words.pop().and_then(|w| STANDARD.decode(w).ok()) else { return Verdict::Drop("no payload") };
    let xml = String::from_utf8_lossy(&xml).into_owned();
    let call = words.first().copied().unwrap_or_default();
    judge(kind, call, &xml)
}

/// All text nodes with their paths.
fn leaves(xml: &str) -> Vec<(String, String)> {
    let mut reader = quick_xml::Reader::from_str(xml);
    reader.config_mut().check_end_names = false;
    let (mut path, mut out) = (Vec::<String>::new(), Vec::new());
    loop {
        match reader.read_event() {
            Ok(Event::Start(e)) => path.push(e.name().as_ref().to_owned()),
            Ok(Event::End(_)) => {
                path.pop();
            }
            Ok(Event::Text(t)) => out.push((path.join("/"), t.to_string())),
            Ok(Event::CData(t)) => out.push((path.join("/"), t.to_string())),
            Ok(Event::Eof) | Err(_) => return out,
            Ok(_) => {}
        }
    }
}

fn judge(kind: Kind, call: &str, xml: &str) -> Verdict {
    let leaves = leaves(xml);
    let get = |path: &str| leaves.iter().find(|(p, _)| p == path).map(|(_, t)| t.trim());
    let last = |path: &str| leaves.iter().rev().find(|(p, _)| p == path).map(|(_, t)| t.trim());
    let number = |text: Option<&str>| text.and_then(|t| t.parse::<u32>().ok());
    if kind == Kind::VmState {
        let Some(cluster) = number(get("VM/USER_TEMPLATE/ONEKS/CLUSTER_ID")) else {
            return Verdict::Drop("the VM has no tag of ours");
        };
        let hints = number(get("VM/ID")).map_or_else(Hints::none, Hints::vm);
        return Verdict::Look { clusters: vec![cluster], hints };
    }
    if get("CALL_INFO/RESULT") != Some("1") {
        return Verdict::Drop("the call failed");
    }
    let inputs: Vec<&str> = leaves
        .iter()
        .filter(|(p, _)| p.starts_with("CALL_INFO/PARAMETERS/PARAMETER/VALUE"))
        .map(|(_, t)| t.as_str())
        .collect();
    let look = |cluster: Option<u32>, hints: Hints| match cluster {
        Some(id) => Verdict::Look { clusters: vec![id], hints },
        None => Verdict::Drop("no id"),
    };
    match kind {
        Kind::Document => {
            let extra = last("CALL_INFO/EXTRA/DOCUMENT/ID");
            if let Some(kind) = last("CALL_INFO/EXTRA/DOCUMENT/TYPE") {
                if kind != "120" {
                    return Verdict::Drop("another type of document");
                }
                let mut hints = Hints::none();
                if call.ends_with("delete") {
                    let field = |name: &str| last(&format!("CALL_INFO/EXTRA/DOCUMENT/{name}")).unwrap_or_default().to_owned();
                    hints.deleted = Some(Deleted {
                        id: number(extra).unwrap_or_default(),
                        uid: number(Some(&field("UID"))).unwrap_or(u32::MAX),
                        uname: field("UNAME"),
                        name: field("NAME"),
                        spec: last("CALL_INFO/EXTRA/DOCUMENT/TEMPLATE/SPEC").map(str::to_owned),
                        status: last("CALL_INFO/EXTRA/DOCUMENT/TEMPLATE/STATUS").map(str::to_owned),
                    });
                }
                return look(number(extra), hints);
            }
            if call.ends_with("clone") {
                return look(number(inputs.iter().rev().nth(1).map(|t| t.trim())), Hints::none());
            }
            let named = ["SPEC", "RECOVER", "DELETE"];
            let names = |t: &str| named.iter().any(|n| t.lines().any(|l| l.trim_start().starts_with(n)));
            let by_element = leaves.iter().any(|(p, _)| {
                p.strip_prefix("CALL_INFO/PARAMETERS/PARAMETER/VALUE/").is_some_and(|rest| {
                    rest.split('/').nth(1).is_some_and(|name| named.contains(&name))
                })
            });
            let wanted = call.ends_with("chown") || call.ends_with("rename") || by_element || inputs.iter().any(|t| names(t));
            if !wanted {
                return Verdict::Drop("nothing that users write");
            }
            look(number(inputs.get(1).map(|t| t.trim())), Hints::none())
        }
        Kind::VmUpdate => match number(inputs.get(1).map(|t| t.trim())) {
            Some(vm) if inputs.iter().any(|t| t.contains("ONEKS")) => Verdict::LookVm { vm },
            _ => Verdict::Drop("no report of ours"),
        },
        Kind::GuestExec => {
            let token = inputs.iter().find_map(|t| {
                oneks_core::names::CommandToken::of_command(t.trim().strip_prefix("COMMAND=")?)
            });
            let vm = number(get("CALL_INFO/EXTRA/VM_ID"));
            match (token, vm) {
                (Some(token), Some(vm)) => look(Some(token.cluster), Hints::vm(vm)),
                _ => Verdict::Drop("not a command of ours"),
            }
        }
        Kind::Vrouter => {
            let name = last("CALL_INFO/EXTRA/VROUTER/NAME").unwrap_or_default();
            let id = name.strip_prefix("oneks-").and_then(|rest| rest.split('-').next()).and_then(|id| id.parse().ok());
            look(id, Hints::none())
        }
        Kind::VmState => Verdict::Drop("handled above"),
    }
}
