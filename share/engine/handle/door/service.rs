//! The OneFlow service that a handle belongs to: its name shows how the cluster is.

use oneks_core::handle;
use oneks_core::status::Status;
use opennebula::objects::Document;

use super::{Door, Inner};
use crate::handle::offer;

/// Type of the documents that are services of OneFlow.
const SERVICE_DOCUMENT: u32 = 100;

impl Door<'_> {
    /// `oneflow show` tells nothing of a service on hold but its name, which is not kept in what OneFlow writes itself.
    pub(super) fn tell_service(&self, status: &Status, inner: &mut Inner) {
        let id = inner.note.shown.get(handle::SERVICE);
        let Some(id) = id.and_then(|id| id.trim().parse::<u32>().ok()) else {
            return;
        };
        let known = match &inner.note.service {
            Some(name) => name.clone(),
            // Whoever may write the VM may name any document there; the service itself must know the VM.
            None => match self.client.document_info(id, false) {
                Ok(service) if is_service_of(&service, inner.vm) => service.name,
                Ok(_) => return,
                Err(e) => {
                    log::info!("VM {}: its service {id} can't be read: {e}", inner.vm);
                    return;
                }
            },
        };
        let name = handle::service_name(&known, status);
        if known != name
            && let Err(e) = self.client.document_rename(id, &name)
        {
            log::info!("service {id} can't be called {name:?}: {e}");
        }
        inner.note.service = Some(name);
    }
}

/// Is it the OneFlow service whose only VM is this?
fn is_service_of(document: &Document, vm: u32) -> bool {
    let body = document.template.get("BODY").unwrap_or_default();
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let roles = body["roles"].as_array().into_iter().flatten();
    let nodes: Vec<&serde_json::Value> = roles
        .flat_map(|r| r["nodes"].as_array().into_iter().flatten())
        .collect();
    document.kind == SERVICE_DOCUMENT
        && nodes
            .iter()
            .all(|node| node["deploy_id"].as_u64() == Some(u64::from(vm)))
        // OneFlow notes the VM only when it has been made.
        && nodes.len() <= 1
        && body[offer::MARK] == offer::SERVICE
}
