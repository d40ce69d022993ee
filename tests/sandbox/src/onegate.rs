//! OneGate: what a VM reports about itself.

use opennebula::template::{Attribute, Template};

use crate::core::Core;
use crate::guest::CallError;
use crate::rpc::Reply;

/// Attributes that a guest may not set.
const RESTRICTED: [&str; 3] = ["SCHED_REQUIREMENTS", "SERVICE_ID", "ROLE_NAME"];

impl Core {
    /// `PUT /vm`: lines of `KEY=VALUE` go to the user template, as the VM's owner, by `one.vm.update`.
    pub(crate) fn onegate_put(&mut self, vm_id: u32, text: &str) -> Result<(), CallError> {
        let refuse = |code: i64, message: &str| CallError {
            code,
            message: message.into(),
        };
        let vm = self
            .vms
            .get(vm_id)
            .ok_or_else(|| refuse(1024, "OneGate: no such VM"))?;
        if !vm
            .template
            .get_in("CONTEXT", "TOKEN")
            .is_some_and(|text| text.eq_ignore_ascii_case("YES"))
        {
            return Err(refuse(512, "OneGate: the VM has no token (CONTEXT/TOKEN=YES)"));
        }
        let owner = vm.meta.uname.clone();
        let mut attributes = Template::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let Some((key, value)) = line.split_once('=') else {
                return Err(refuse(400, "OneGate: a line is not KEY=VALUE"));
            };
            if RESTRICTED.contains(&key) {
                return Err(refuse(403, "OneGate: the attribute is restricted"));
            }
            let value = value
                .strip_prefix('"')
                .and_then(|value| value.strip_suffix('"'))
                .unwrap_or(value);
            attributes.push(Attribute::text(key, value.replace("\\\"", "\"")));
        }
        let text: Vec<String> = attributes
            .iter()
            .map(|attribute| {
                let value = attribute.value.as_text().unwrap_or("").replace('"', "\\\"");
                format!("{}=\"{value}\"", attribute.name)
            })
            .collect();
        // OneGate has a server credential of its own, which stands for the owner.
        let session = self.delegated_session(&owner);
        let id = i64::from(vm_id);
        let (reply, _) = self.perform(
            "one.vm.update",
            &[session.into(), id.into(), text.join("\n").into(), 1.into()],
        );
        match reply {
            Reply::Success(_) => Ok(()),
            Reply::Failure { message, code, .. } => Err(CallError { code, message }),
            Reply::Fault { message, .. } => Err(CallError { code: 0, message }),
        }
    }
}
