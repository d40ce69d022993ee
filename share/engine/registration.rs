//! The hooks that OpenNebula must have, from one table, and how they compare with those it has.

use std::path::Path;

use opennebula::calls::UpdateMode;
use opennebula::client::Client;
use opennebula::error::Error;
use opennebula::objects::{Hook, LcmState, VmState};
use opennebula::template::{Template, WriteError};
use serde::Deserialize;

/// The table. A file of the installation's source, so that it can't be missing.
const TABLE: &str = include_str!("../hooks/hooks.yaml");

/// Every hook of ours has a name that begins with this.
pub const PREFIX: &str = "oneks-";

/// One line of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    hook: String,
    timeout: u32,
    #[serde(default)]
    calls: Vec<String>,
    #[serde(default)]
    states: Vec<String>,
}

/// A hook as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Name of the executable.
    pub executable: String,
    /// Seconds that it may take.
    pub timeout: u32,
    /// What starts it.
    pub event: Event,
}

/// What starts a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An API call.
    Call(String),
    /// A virtual machine comes into a state.
    State(VmState, LcmState),
}

/// A hook can't be registered.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// The table of the hooks makes no sense, which tests rule out.
    #[error("the table of the hooks: {0}")]
    Table(String),
    /// A hook can't be written as OpenNebula reads it.
    #[error("hook {name}: {source}")]
    Write {
        /// The hook.
        name: String,
        /// What can't be written.
        source: WriteError,
    },
    /// A call failed.
    #[error("hook {name}: {source}")]
    Call {
        /// The hook.
        name: String,
        /// The cause.
        source: Error,
    },
}

/// What setup has to do about a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is missing.
    Create(Definition),
    /// It is there, but different.
    Update(u32, Definition, Vec<String>),
    /// It is there with another type, which can't be changed.
    Replace(u32, Definition),
    /// It is of ours but not in the table any more.
    Delete(u32, String),
}

/// The hooks of the table.
///
/// # Errors
/// The table makes no sense, which tests rule out.
pub fn table() -> Result<Vec<Definition>, RegistrationError> {
    let wrong = RegistrationError::Table;
    let lines: Vec<Line> = oneks_core::yaml::from_str(TABLE).map_err(|e| wrong(e.to_string()))?;
    let mut hooks = Vec::new();
    for line in lines {
        let mut add = |name: &str, event: Event| {
            let name = name.to_ascii_lowercase().replace(['.', '_'], "-");
            hooks.push(Definition {
                name: format!("{PREFIX}{name}"),
                executable: line.hook.clone(),
                timeout: line.timeout,
                event,
            });
        };
        for call in &line.calls {
            add(call.trim_start_matches("one."), Event::Call(call.clone()));
        }
        for text in &line.states {
            let (state, lcm) = text.split_once('/').unwrap_or((text, "LCM_INIT"));
            let (Some(vm), Some(lcm_state)) = (VmState::from_name(state), LcmState::from_name(lcm)) else {
                return Err(wrong(format!("{text} is no state of a virtual machine")));
            };
            let last = text.rsplit('/').next().unwrap_or(text);
            add(&format!("vm-state-{last}"), Event::State(vm, lcm_state));
        }
    }
    Ok(hooks)
}

impl Definition {
    /// What goes to OpenNebula, without name and type.
    pub fn template(&self, folder: &Path) -> Template {
        let mut template = Template::new();
        template.set("COMMAND", folder.join(&self.executable).display().to_string());
        template.set("ARGUMENTS_STDIN", "YES");
        template.set("TIMEOUT", self.timeout.to_string());
        template.set("REMOTE", "NO");
        match &self.event {
            Event::Call(call) => {
                template.set("CALL", call.as_str());
                template.set("ARGUMENTS", format!("{call} $API"));
            }
            Event::State(state, lcm) => {
                template.set("RESOURCE", "VM");
                template.set("STATE", state.as_str());
                template.set("LCM_STATE", lcm.as_str());
                template.set("ARGUMENTS", "$TEMPLATE");
            }
        }
        template
    }

    /// What makes it at OpenNebula.
    pub fn full_template(&self, folder: &Path) -> Template {
        let mut template = self.template(folder);
        template.set("NAME", self.name.as_str());
        template.set("TYPE", self.event.hook_type());
        if matches!(self.event, Event::State(..)) {
            template.set("ON", "CUSTOM");
        }
        template
    }
}

impl Event {
    fn hook_type(&self) -> &'static str {
        match self {
            Self::Call(_) => "api",
            Self::State(..) => "state",
        }
    }
}

/// What must be done so that OpenNebula has exactly these hooks of ours.
pub fn compare(wanted: &[Definition], there: &[Hook], folder: &Path) -> Vec<Change> {
    let mut changes = Vec::new();
    for definition in wanted {
        let Some(hook) = there.iter().find(|h| h.name == definition.name) else {
            changes.push(Change::Create(definition.clone()));
            continue;
        };
        if !hook.hook_type.eq_ignore_ascii_case(definition.event.hook_type()) {
            changes.push(Change::Replace(hook.id, definition.clone()));
            continue;
        }
        let template = definition.template(folder);
        let differs = |name: &&str| hook.template.get(name) != template.get(name);
        let different: Vec<String> = template.names().filter(differs).map(str::to_owned).collect();
        if !different.is_empty() {
            changes.push(Change::Update(hook.id, definition.clone(), different));
        }
    }
    let stale = there
        .iter()
        .filter(|h| h.name.starts_with(PREFIX) && wanted.iter().all(|d| d.name != h.name));
    changes.extend(stale.map(|h| Change::Delete(h.id, h.name.clone())));
    changes
}

impl Change {
    /// Makes the change at OpenNebula.
    ///
    /// # Errors
    /// The call, with the hook's name.
    pub fn carry_out(&self, client: &Client, folder: &Path) -> Result<(), RegistrationError> {
        let name = self.name();
        let call = |source| RegistrationError::Call {
            name: name.to_owned(),
            source,
        };
        let text = |template: Template| {
            template.to_text().map_err(|source| RegistrationError::Write {
                name: name.to_owned(),
                source,
            })
        };
        match self {
            Self::Create(definition) => {
                client
                    .hook_allocate(&text(definition.full_template(folder))?)
                    .map_err(call)?;
            }
            Self::Update(id, definition, _) => {
                client
                    .hook_update(*id, &text(definition.template(folder))?, UpdateMode::Replace)
                    .map_err(call)?;
            }
            Self::Replace(id, definition) => {
                client.hook_delete(*id).map_err(call)?;
                client
                    .hook_allocate(&text(definition.full_template(folder))?)
                    .map_err(call)?;
            }
            Self::Delete(id, _) => client.hook_delete(*id).map_err(call)?,
        }
        Ok(())
    }

    /// Name of the hook.
    pub fn name(&self) -> &str {
        match self {
            Self::Create(definition) | Self::Update(_, definition, _) | Self::Replace(_, definition) => {
                &definition.name
            }
            Self::Delete(_, name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn hook(definition: &Definition, id: u32, folder: &str) -> Hook {
        let template = definition.template(Path::new(folder));
        Hook {
            id,
            name: definition.name.clone(),
            hook_type: definition.event.hook_type().to_owned(),
            template,
        }
    }

    #[test]
    fn names_are_unique_and_legal() {
        let table = table().unwrap();
        let names: BTreeSet<&str> = table.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names.len(), table.len());
        assert!(names.contains("oneks-document-update"));
        assert!(names.contains("oneks-internal-vmmonitor"));
        assert!(names.contains("oneks-vm-state-running"));
        for name in names {
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{name}"
            );
        }
    }

    #[test]
    fn every_failure_of_a_vm_starts_a_hook() {
        let table = table().unwrap();
        let has = |state, lcm| table.iter().any(|d| d.event == Event::State(state, lcm));
        for lcm in LcmState::ALL.iter().filter(|lcm| lcm.is_failure()) {
            assert!(has(VmState::Active, *lcm), "{lcm}");
        }
        assert!(has(VmState::CloningFailure, LcmState::LcmInit));
        let pairs = table.iter().filter_map(|d| match d.event {
            Event::State(state, lcm) => Some((state, lcm)),
            Event::Call(_) => None,
        });
        for (state, lcm) in pairs {
            assert_eq!(
                state == VmState::Active,
                lcm != LcmState::LcmInit,
                "{state}/{lcm}"
            );
        }
    }

    #[test]
    fn every_hook_has_an_executable_of_the_repository() {
        for definition in table().unwrap() {
            let source = concat!(env!("CARGO_MANIFEST_DIR"), "/hooks/");
            assert!(
                Path::new(source)
                    .join(&definition.executable)
                    .join("main.rs")
                    .exists(),
                "{definition:?}"
            );
        }
    }

    #[test]
    fn what_is_as_it_must_be_is_left_alone() {
        let table = table().unwrap();
        let there: Vec<Hook> = (0..).zip(&table).map(|(id, d)| hook(d, id, "/hooks")).collect();
        assert_eq!(compare(&table, &there, Path::new("/hooks")), []);
    }

    #[test]
    fn what_differs_is_found() {
        let table = table().unwrap();
        let mut there: Vec<Hook> = (0..).zip(&table).map(|(id, d)| hook(d, id, "/hooks")).collect();
        there[0].template.set("COMMAND", "/elsewhere/document");
        there[1].template.remove("TIMEOUT");
        there[2].hook_type = "state".to_owned();
        let missing = there.remove(3);
        there.push(Hook {
            id: 900,
            name: "oneks-old".into(),
            ..missing.clone()
        });
        there.push(Hook {
            id: 901,
            name: "somebody-elses".into(),
            ..missing
        });
        assert_eq!(
            compare(&table, &there, Path::new("/hooks")),
            [
                Change::Update(0, table[0].clone(), vec!["COMMAND".into()]),
                Change::Update(1, table[1].clone(), vec!["TIMEOUT".into()]),
                Change::Replace(2, table[2].clone()),
                Change::Create(table[3].clone()),
                Change::Delete(900, "oneks-old".into()),
            ]
        );
    }
}
