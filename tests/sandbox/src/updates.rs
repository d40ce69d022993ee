//! What an update or a new name means for objects of one kind.

use opennebula::template::{Attribute, Template};

use crate::core::Core;
use crate::hooks;
use crate::meta::ObjectKind;

impl Core {
    /// Checks and completes the new template of an object before it is stored.
    pub(crate) fn after_update(
        &self,
        kind: ObjectKind,
        id: i64,
        template: &mut Template,
        old: &Template,
    ) -> Result<(), String> {
        match kind {
            ObjectKind::VRouter => {
                // NICs are changed by attaching and detaching only.
                template.remove("NIC");
                let nics: Vec<Attribute> = old
                    .iter()
                    .filter(|attribute| attribute.name == "NIC")
                    .cloned()
                    .collect();
                template.extend(nics);
            }
            ObjectKind::Hook => {
                let hook = u32::try_from(id).ok().and_then(|id| self.hooks.get(id));
                if let Some(hook) = hook {
                    hooks::check_update(hook, template)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Carries a new name to where it is kept a second time.
    pub(crate) fn after_rename(&mut self, kind: ObjectKind, id: i64) {
        let Ok(id) = u32::try_from(id) else { return };
        match kind {
            ObjectKind::Datastore => {
                let Some(name) = self
                    .datastores
                    .get(id)
                    .map(|datastore| datastore.meta.name.clone())
                else {
                    return;
                };
                for image in self.images.values_mut().filter(|image| image.datastore == id) {
                    image.datastore_name.clone_from(&name);
                }
            }
            ObjectKind::Cluster => {
                let Some(name) = self.clusters.get(id).map(|cluster| cluster.meta.name.clone()) else {
                    return;
                };
                for host in self.hosts.values_mut().filter(|host| host.cluster == id) {
                    host.cluster_name.clone_from(&name);
                }
            }
            _ => {}
        }
    }
}
