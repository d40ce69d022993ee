//! Carrying out an action: one call each, and no choices.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oneks_core::Action;
use oneks_core::observed::{Failure, FailureKind};
use oneks_core::plan::Outcome;
use oneks_driver::{Owner, VmText, secret};
use opennebula::calls::{RecoverOperation, TokenLifetime, UpdateMode, VmAction};
use opennebula::client::Client;
use opennebula::error::{Error, ErrorCode};
use opennebula::template::{Attribute, Template, vector_value};

use crate::made_for;
use crate::service::Service;

/// Who acts, and for which cluster.
pub struct Executor<'a> {
    /// The service.
    pub service: &'a Service,
    /// The cluster.
    pub cluster: u32,
    /// Its owner.
    pub owner: &'a Owner,
    /// OpenNebula as the owner.
    pub client: &'a Client,
    /// Number of the credential that goes into texts.
    pub serial: u32,
}

impl Executor<'_> {
    /// Carries out one action. Storing the kubeconfig is no call of its own: it goes with the status.
    pub fn execute(&self, action: &Action) -> Outcome {
        if let Action::AllocateRouter {
            name,
            text,
            addresses,
        } = action
            && !addresses.is_empty()
        {
            // Any other address would be another cluster's endpoint; better none.
            let Some(text) = pinned(text, addresses) else {
                return Outcome::Failed(Failure {
                    kind: FailureKind::Refused,
                    message: "the driver's text has no NIC by NETWORK_ID for the router's address".to_owned(),
                });
            };
            let (name, addresses) = (name.clone(), BTreeMap::new());
            return self.execute(&Action::AllocateRouter {
                name,
                text,
                addresses,
            });
        }
        match self.call(action) {
            Ok(Some(id)) => Outcome::Created(id),
            Ok(None) => Outcome::Done,
            Err(error) => Outcome::Failed(refused(action, failure(&error))),
        }
    }

    fn call(&self, action: &Action) -> Result<Option<u32>, Error> {
        let client = self.client;
        match action {
            Action::CreateCredential { serial } => {
                let token = self.service.credential(self.cluster, *serial);
                client.user_login(&self.owner.name, Some(&token), TokenLifetime::Unlimited, None)?;
            }
            Action::RevokeCredential { serial } => {
                let token = self.service.credential(self.cluster, *serial);
                client.user_login(&self.owner.name, Some(&token), TokenLifetime::Revoked, None)?;
            }
            Action::CreateTemplate { name, text } => {
                return client
                    .template_allocate(&named(name, &self.proven(text)))
                    .map(Some);
            }
            Action::UpdateTemplate { id, text, .. } => {
                client.template_update(*id, &self.proven(text), UpdateMode::Replace)?;
            }
            Action::DeleteTemplate { id, .. } => client.template_delete(*id, false)?,
            Action::AllocateVm { vm } => return client.vm_allocate(&self.vm_text(vm), false).map(Some),
            Action::ResumeVm { id, .. } => client.vm_action(VmAction::Resume, *id)?,
            Action::TerminateVm { id, .. } => client.vm_action(VmAction::TerminateHard, *id)?,
            Action::DeleteVm { id, .. } => client.vm_recover(*id, RecoverOperation::Delete)?,
            Action::AllocateRouter { name, text, .. } => {
                return client.vrouter_allocate(&named(name, text)).map(Some);
            }
            Action::InstantiateRouter {
                id,
                template,
                replicas,
                ..
            } => {
                client.vrouter_instantiate(*id, *replicas, Some(*template), "", false, "")?;
            }
            Action::DeleteRouter { id, .. } => client.vrouter_delete(*id)?,
            Action::ReleaseAddress { network, address } => {
                client.vn_release(*network, &format!("LEASES=[IP=\"{address}\"]"))?;
            }
            Action::DeleteReservation { id, .. } => client.vn_delete(*id)?,
            Action::Exec { vm, command, script } => {
                client.vm_exec(*vm, command, self.fill(script).as_bytes())?;
            }
            Action::CancelExec { vm } => client.vm_cancelexec(*vm)?,
            Action::StoreKubeconfig { .. } => {}
            Action::DeleteDocument => self.service.admin.document_delete(self.cluster)?,
        }
        Ok(None)
    }

    /// The text of a VM template with the proof of whom it is made for.
    fn proven(&self, text: &str) -> String {
        let proof = self.service.made_for(self.cluster, self.owner.uid);
        format!("{}\n{}=\"{proof}\"\n", text.trim_end(), made_for::ATTRIBUTE)
    }

    /// The text with the secrets in their places.
    fn fill(&self, text: &str) -> String {
        if !text.contains(secret::ONE_AUTH_BASE64) {
            return text.to_owned();
        }
        let token = self.service.credential(self.cluster, self.serial);
        let auth = STANDARD.encode(format!("{}:{}", self.owner.name, token.expose()));
        text.replace(secret::ONE_AUTH_BASE64, &auth)
    }

    fn vm_text(&self, vm: &VmText) -> String {
        let mut text = self.fill(&vm.text);
        for (name, attachment) in &vm.attachments {
            text = text.replace(&secret::attachment(name), &STANDARD.encode(self.fill(attachment)));
        }
        named(&vm.name, &text)
    }
}

/// Login tokens that are disabled are refused as if the user were busy, but waiting doesn't help.
fn refused(action: &Action, failure: Failure) -> Failure {
    match (action, failure.kind) {
        (Action::CreateCredential { .. }, FailureKind::WrongState) => Failure {
            kind: FailureKind::Refused,
            ..failure
        },
        _ => failure,
    }
}

/// A template text with the name in front. Names of ours need no quoting.
fn named(name: &str, text: &str) -> String {
    format!("NAME=\"{name}\"\n{text}")
}

/// The text of a router with the addresses that its NICs must have, by network id. `None` if it has no such NIC.
fn pinned(text: &str, addresses: &BTreeMap<u32, String>) -> Option<String> {
    let router = Template::parse_text(text).ok()?;
    let mut left = addresses.clone();
    let mut pin = |attribute: &Attribute| {
        let pairs = attribute.value.as_vector().filter(|_| attribute.name == "NIC")?;
        let network = vector_value(pairs, "NETWORK_ID")?.parse::<u32>().ok()?;
        let address = left.remove(&network)?;
        let others = pairs
            .iter()
            .filter(|(key, _)| key != "IP" && key != "MAC")
            .cloned();
        let pinned = others.chain([("IP".to_owned(), address)]);
        Some(Attribute::vector("NIC", pinned))
    };
    let router: Template = router
        .iter()
        .map(|a| pin(a).unwrap_or_else(|| a.clone()))
        .collect();
    router.to_text().ok().filter(|_| left.is_empty())
}

/// What an error means for the next attempt. The message is oned's, without the call's name in front.
pub fn failure(error: &Error) -> Failure {
    let text = error.to_string();
    let kind = match error {
        Error::Call { code, message, .. } => match code {
            ErrorCode::NoExists => FailureKind::Gone,
            ErrorCode::Action | ErrorCode::Locked => FailureKind::WrongState,
            ErrorCode::Authorization | ErrorCode::Authentication if is_quota(message) => FailureKind::Quota,
            ErrorCode::Authorization | ErrorCode::Authentication => FailureKind::NotAllowed,
            _ if is_quota(message) => FailureKind::Quota,
            _ if message.contains("lease from virtual network") => FailureKind::NoAddress,
            ErrorCode::Allocate | ErrorCode::RpcApi => FailureKind::Refused,
            _ => FailureKind::Internal,
        },
        Error::Unreachable { .. } | Error::Timeout { .. } | Error::Http { .. } => FailureKind::Unreachable,
        _ => FailureKind::Internal,
    };
    Failure { kind, message: text }
}

fn is_quota(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("quota") || message.contains("limit of")
}

/// The attributes of a document that the hooks write, as one merge. The kubeconfig is stored in base64.
pub fn status_text(status: &oneks_core::Status, kubeconfig: Option<&str>, forget_kubeconfig: bool) -> String {
    let mut text = String::from("<TEMPLATE>");
    let mut add = |name: &str, value: &str| {
        let mut one = Template::new();
        one.set(name, value);
        match one.to_xml("T") {
            Ok(xml) => text.push_str(xml.trim_start_matches("<T>").trim_end_matches("</T>")),
            Err(e) => log::error!("attribute {name} can't be written: {e}"),
        }
    };
    add("STATUS", &status.to_json());
    add("STATE", status.state.as_str());
    if let Some(endpoint) = &status.endpoint {
        add(
            "ENDPOINT",
            &format!("https://{}:{}", endpoint.host, endpoint.port),
        );
    }
    if let Some(kubeconfig) = kubeconfig {
        add("KUBECONFIG", &STANDARD.encode(kubeconfig));
    } else if forget_kubeconfig {
        // A merge with an empty vector is the only way to remove an attribute and leave the others alone.
        text.push_str("<KUBECONFIG><NONE></NONE></KUBECONFIG>");
    }
    text.push_str("</TEMPLATE>");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_gets_its_addresses_or_is_not_made() {
        let text = "NIC=[NETWORK_ID=\"0\",FLOATING_IP=\"YES\",IP=\"192.0.2.7\"]\nNIC=[NETWORK_ID=\"1\",FLOATING_IP=\"YES\"]\nA=\"b\"\n";
        let addresses = |list: &[(u32, &str)]| list.iter().map(|(n, a)| (*n, (*a).to_owned())).collect();
        let both: BTreeMap<u32, String> = addresses(&[(0, "192.0.2.1"), (1, "10.0.0.1")]);
        let pinned_text = pinned(text, &both).unwrap();
        let router = Template::parse_text(&pinned_text).unwrap();
        let ips: Vec<&str> = router
            .get_vectors("NIC")
            .filter_map(|nic| vector_value(nic, "IP"))
            .collect();
        assert_eq!(ips, ["192.0.2.1", "10.0.0.1"], "{pinned_text}");
        assert_eq!(router.get("A"), Some("b"));
        assert_eq!(pinned(text, &addresses(&[(2, "10.0.0.1")])), None);
        assert_eq!(pinned("NIC=[NETWORK=\"public\"]", &both), None);
        assert_eq!(pinned("no template", &both), None);
    }
}
