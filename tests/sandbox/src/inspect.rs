//! Looking into a cloud from a test, without a call.

use std::collections::BTreeMap;

use crate::documents::Document;
use crate::groups::Group;
use crate::images::Image;
use crate::leases::Holder;
use crate::sandbox::Sandbox;
use crate::states::VmState;
use crate::templates::VmTemplate;
use crate::users::LoginToken;
use crate::vms::Vm;
use crate::vnets::Vnet;
use crate::vrouters::VRouter;

/// What exists, to compare before and after: nothing of the installation itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Documents, by id and name.
    pub documents: BTreeMap<u32, String>,
    /// VMs that are not DONE.
    pub vms: BTreeMap<u32, String>,
    /// Virtual routers.
    pub vrouters: BTreeMap<u32, String>,
    /// VM templates.
    pub templates: BTreeMap<u32, String>,
    /// Images.
    pub images: BTreeMap<u32, String>,
    /// Networks, reservations among them.
    pub vnets: BTreeMap<u32, String>,
    /// Addresses in use, per network.
    pub leases: BTreeMap<u32, usize>,
    /// Login tokens, per user.
    pub tokens: BTreeMap<String, usize>,
}

impl Remains {
    /// What is here and not in `before`, one line per object. Empty if everything was cleaned up.
    pub fn since(&self, before: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let lists = [
            ("document", &self.documents, &before.documents),
            ("VM", &self.vms, &before.vms),
            ("virtual router", &self.vrouters, &before.vrouters),
            ("template", &self.templates, &before.templates),
            ("image", &self.images, &before.images),
            ("network", &self.vnets, &before.vnets),
        ];
        for (what, now, then) in lists {
            let new = now.iter().filter(|(id, _)| !then.contains_key(id));
            lines.extend(new.map(|(id, name)| format!("{what} {id} {name}")));
        }
        for (vnet, count) in &self.leases {
            let before = before.leases.get(vnet).copied().unwrap_or(0);
            if *count > before {
                lines.push(format!("{} addresses of network {vnet}", count - before));
            }
        }
        for (user, count) in &self.tokens {
            let before = before.tokens.get(user).copied().unwrap_or(0);
            if *count > before {
                lines.push(format!("{} login tokens of {user}", count - before));
            }
        }
        lines
    }
}

impl Sandbox {
    /// All documents, by id.
    pub fn documents(&self) -> Vec<Document> {
        self.lock().documents.values().cloned().collect()
    }

    /// All VMs, DONE ones included, by id.
    pub fn vms(&self) -> Vec<Vm> {
        self.lock().vms.values().cloned().collect()
    }

    /// The VMs that are not DONE, by id.
    pub fn live_vms(&self) -> Vec<Vm> {
        self.lock()
            .vms
            .values()
            .filter(|vm| vm.state != VmState::Done)
            .cloned()
            .collect()
    }

    /// A VM.
    pub fn vm(&self, id: u32) -> Option<Vm> {
        self.lock().vms.get(id).cloned()
    }

    /// All virtual routers, by id.
    pub fn vrouters(&self) -> Vec<VRouter> {
        self.lock().vrouters.values().cloned().collect()
    }

    /// All VM templates, by id.
    pub fn templates(&self) -> Vec<VmTemplate> {
        self.lock().templates.values().cloned().collect()
    }

    /// All images, by id.
    pub fn images(&self) -> Vec<Image> {
        self.lock().images.values().cloned().collect()
    }

    /// All networks, by id.
    pub fn vnets(&self) -> Vec<Vnet> {
        self.lock().vnets.values().cloned().collect()
    }

    /// All groups, by id.
    pub fn groups(&self) -> Vec<Group> {
        self.lock().groups.values().cloned().collect()
    }

    /// Addresses of a network that are in use: IP (or MAC) and holder.
    pub fn leases(&self, vnet: u32) -> Vec<(String, Holder)> {
        let core = self.lock();
        let ranges = core
            .vnets
            .get(vnet)
            .map(|vnet| vnet.ranges.as_slice())
            .unwrap_or_default();
        let held = ranges.iter().flat_map(crate::leases::AddressRange::held);
        held.map(|(ip, mac, holder)| (ip.map_or(mac, |ip| ip.to_string()), holder))
            .collect()
    }

    /// Login tokens of a user that have not ended, by their text.
    pub fn tokens(&self, user: &str) -> BTreeMap<String, LoginToken> {
        let core = self.lock();
        let now = core.now;
        let tokens = core
            .user_named(user)
            .map(|user| user.tokens.clone())
            .unwrap_or_default();
        tokens
            .into_iter()
            .filter(|(_, token)| token.expires.is_none_or(|time| now < time))
            .collect()
    }

    /// Exit codes in the log of a hook, the oldest first.
    pub fn hook_codes(&self, hook: u32) -> Vec<i32> {
        let core = self.lock();
        core.hooks
            .get(hook)
            .map(|hook| hook.log.iter().map(|record| record.record.code).collect())
            .unwrap_or_default()
    }

    /// What exists.
    pub fn remains(&self) -> Remains {
        let core = self.lock();
        let mut remains = Remains::default();
        for document in core.documents.values() {
            remains
                .documents
                .insert(document.meta.id, document.meta.name.clone());
        }
        for vm in core.vms.values().filter(|vm| vm.state != VmState::Done) {
            remains.vms.insert(vm.meta.id, vm.meta.name.clone());
        }
        for router in core.vrouters.values() {
            remains.vrouters.insert(router.meta.id, router.meta.name.clone());
        }
        for template in core.templates.values() {
            remains
                .templates
                .insert(template.meta.id, template.meta.name.clone());
        }
        for image in core.images.values() {
            remains.images.insert(image.meta.id, image.meta.name.clone());
        }
        for vnet in core.vnets.values() {
            remains.vnets.insert(vnet.meta.id, vnet.meta.name.clone());
            let used = vnet.ranges.iter().map(crate::leases::AddressRange::used).sum();
            remains.leases.insert(vnet.meta.id, used);
        }
        for user in core.users.values() {
            remains.tokens.insert(user.meta.name.clone(), user.tokens.len());
        }
        remains
    }

    /// From now on [`Sandbox::take_published`] returns the keys of everything that is published.
    pub fn listen(&self) {
        self.lock().events.published.get_or_insert_default();
    }

    /// The keys that were published since the last time, such as `EVENT API one.vm.update 1` or
    /// `EVENT STATE VM/ACTIVE/RUNNING/7 `, whether a hook wants them or not.
    pub fn take_published(&self) -> Vec<String> {
        self.lock()
            .events
            .published
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }
}

/// What happens to VMs from outside.
impl Sandbox {
    /// Somebody powers a VM off on its host, and monitoring finds out. Whether it ran.
    pub fn power_off_outside(&self, vm: u32) -> bool {
        let done = self.lock().vm_found_off(vm);
        self.settle();
        done
    }

    /// The host of a VM is lost: the VM becomes UNKNOWN. Whether it ran.
    pub fn lose_vm(&self, vm: u32) -> bool {
        let done = self.lock().vm_lost(vm);
        self.settle();
        done
    }

    /// A lost VM is found again, running. Whether it was lost.
    pub fn find_vm(&self, vm: u32) -> bool {
        let done = self.lock().vm_found(vm);
        self.settle();
        done
    }
}
