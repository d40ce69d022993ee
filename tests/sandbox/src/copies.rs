//! Copies of objects that are there, for clouds that are too large to live through.

use std::borrow::Cow;
use std::collections::BTreeMap;

use opennebula::template::{AttributeValue, Template, vector_value};

use crate::cloud::SetupError;
use crate::core::Core;
use crate::leases::{Holder, Lease, random_mac};
use crate::meta::{Meta, ObjectKind};
use crate::quotas::Usage;
use crate::sandbox::Sandbox;
use crate::templates::is_yes;
use crate::vms::Vm;

/// What is called otherwise in a copy: ids, names, addresses, and whatever else the copier adds.
///
/// A text that is known as a whole is replaced; in any other text each known word is, and a word is letters, digits and
/// dots between other characters, such as an id in JSON, an IP address, or the number in `oneks-40001-cp`.
#[derive(Clone, Debug, Default)]
pub struct Renaming {
    texts: BTreeMap<String, String>,
    ids: BTreeMap<(ObjectKind, u32), u32>,
}

impl Renaming {
    /// The id of an object's copy.
    pub fn id(&self, kind: ObjectKind, id: u32) -> Option<u32> {
        self.ids.get(&(kind, id)).copied()
    }

    /// From now on `old` is called `new`.
    pub fn add(&mut self, old: impl Into<String>, new: impl Into<String>) {
        self.texts.insert(old.into(), new.into());
    }

    /// A text with everything in it called as in the copy.
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if let Some(new) = self.texts.get(text) {
            return Cow::Owned(new.clone());
        }
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'.';
        let mut changed = String::new();
        let (mut done, mut at) = (0, 0);
        while at < text.len() {
            let rest = &text.as_bytes()[at..];
            let length = rest.iter().take_while(|byte| is_word(byte)).count();
            // A dot may end a sentence.
            let word = text[at..at + length].trim_end_matches('.');
            if let Some(new) = self.texts.get(word).filter(|_| !word.is_empty()) {
                changed.push_str(&text[done..at]);
                changed.push_str(new);
                done = at + word.len();
            }
            at += length;
            at += text.as_bytes()[at..]
                .iter()
                .take_while(|byte| !is_word(byte))
                .count();
        }
        if done == 0 {
            return Cow::Borrowed(text);
        }
        changed.push_str(&text[done..]);
        Cow::Owned(changed)
    }

    /// A template with everything in it called as in the copy.
    pub fn apply_to(&self, template: &Template) -> Template {
        let texts = template.iter().cloned().map(|mut attribute| {
            match &mut attribute.value {
                AttributeValue::Text(text) => self.change(text),
                AttributeValue::Vector(pairs) => pairs.iter_mut().for_each(|(_, text)| self.change(text)),
            }
            attribute
        });
        texts.collect()
    }

    fn change(&self, text: &mut String) {
        if let Cow::Owned(new) = self.apply(text) {
            *text = new;
        }
    }

    fn lease(&mut self, old: Option<&str>, mac: Option<&str>, new: Lease) {
        if let (Some(old), Some(ip)) = (old, new.ip) {
            self.add(old, ip.to_string());
        }
        if let Some(mac) = mac {
            self.add(mac, new.mac);
        }
    }
}

impl Sandbox {
    /// Copies objects that belong together and to one user for another one, as if they had come to be by themselves, but
    /// without calls, events or log entries: with ids, addresses and MACs of their own, in the same state on the same
    /// hosts, in the quotas of their owner. Everything in them that is called as the models, their addresses or their
    /// owner (id or name) is called as the copies, and so is what `complete` adds. How everything was renamed.
    ///
    /// Numbers in texts are taken for ids, whatever they mean: the models and their owner should have ids that are
    /// nothing else, see [`Sandbox::skip_ids`]. There are copies of documents, virtual routers, VM templates, and VMs
    /// that run and have neither disks nor scheduled actions; guests do not get to know of them.
    ///
    /// # Errors
    /// There is no such user or object, of this owner; it can't be copied; no address or quota is left.
    pub fn copy(
        &self,
        models: &[(ObjectKind, u32)],
        owner: u32,
        complete: impl FnOnce(&mut Renaming),
    ) -> Result<Renaming, SetupError> {
        let mut core = self.lock();
        let mut renaming = core.name_copies(models, owner)?;
        for (kind, id) in models {
            core.lease_for_copy(*kind, *id, &mut renaming)?;
        }
        complete(&mut renaming);
        for (kind, id) in models {
            core.copy_one(*kind, *id, owner, &renaming)?;
        }
        Ok(renaming)
    }
}

impl Core {
    /// Ids for the copies, and the names of the owner.
    fn name_copies(&self, models: &[(ObjectKind, u32)], owner: u32) -> Result<Renaming, String> {
        let user = self.users.get(owner).ok_or(format!("there is no user {owner}"))?;
        let mut renaming = Renaming::default();
        let mut taken: BTreeMap<ObjectKind, u32> = BTreeMap::new();
        for (kind, id) in models {
            let meta = self
                .object(*kind, *id)
                .ok_or(format!("there is no {kind:?} {id}"))?
                .meta();
            let next = match kind {
                ObjectKind::Document => self.documents.next_id(),
                ObjectKind::Vm => self.vms.next_id(),
                ObjectKind::VRouter => self.vrouters.next_id(),
                ObjectKind::Template => self.templates.next_id(),
                _ => return Err(format!("{kind:?} {id} can't be copied")),
            };
            let before = taken.entry(*kind).or_default();
            let new = next + *before;
            *before += 1;
            renaming.ids.insert((*kind, *id), new);
            renaming.add(id.to_string(), new.to_string());
            renaming.add(meta.uid.to_string(), owner.to_string());
            renaming.add(&meta.uname, &user.meta.name);
        }
        Ok(renaming)
    }

    /// Takes addresses for a copy.
    fn lease_for_copy(&mut self, kind: ObjectKind, id: u32, renaming: &mut Renaming) -> Result<(), String> {
        let copy = renaming.ids.get(&(kind, id)).copied().unwrap_or_default();
        let (template, holder, ip, mac) = match kind {
            ObjectKind::Vm => (
                self.vms.get(id).map(|vm| &vm.template),
                Holder::Vm(copy),
                "IP",
                "MAC",
            ),
            ObjectKind::VRouter => (
                self.vrouters.get(id).map(|router| &router.template),
                Holder::VRouter(copy),
                "VROUTER_IP",
                "VROUTER_MAC",
            ),
            _ => return Ok(()),
        };
        let nics = template
            .into_iter()
            .flat_map(|template| template.get_vectors("NIC"));
        let nics: Vec<Vec<(String, String)>> = nics.map(<[_]>::to_vec).collect();
        for nic in nics {
            let number = |key| vector_value(&nic, key).and_then(|text| text.parse::<u32>().ok());
            let (old_ip, old_mac) = (vector_value(&nic, ip), vector_value(&nic, mac));
            let vnet = number("NETWORK_ID").and_then(|id| self.vnets.get_mut(id));
            let Some(vnet) = vnet else { continue };
            match holder {
                Holder::VRouter(_) => vnet.vrouters.insert(copy),
                _ => vnet.vms.insert(copy),
            };
            let is_leased = match holder {
                Holder::VRouter(_) => is_yes(&nic, "FLOATING_IP"),
                _ => !is_yes(&nic, "FLOATING_ONLY"),
            };
            if is_leased {
                let range = vnet
                    .ranges
                    .iter_mut()
                    .find(|range| Some(range.id) == number("AR_ID"));
                let lease = range.and_then(|range| range.take(holder));
                let lease = lease.ok_or(format!("no address is left in network {}", vnet.meta.id))?;
                renaming.lease(old_ip, old_mac, lease);
            } else if let Some(mac) = old_mac {
                renaming.add(mac, random_mac(self.rng.next()));
            }
        }
        Ok(())
    }

    fn copy_one(&mut self, kind: ObjectKind, id: u32, owner: u32, renaming: &Renaming) -> Result<(), String> {
        let missing = || format!("there is no {kind:?} {id}");
        let copy = renaming.id(kind, id).ok_or_else(missing)?;
        let meta = self.object(kind, id).ok_or_else(missing)?.meta();
        let user = &self.users.get(owner).ok_or_else(missing)?.meta;
        let meta = Meta {
            id: copy,
            uid: owner,
            uname: user.uname.clone(),
            gid: user.gid,
            gname: user.gname.clone(),
            name: renaming.apply(&meta.name).into_owned(),
            ..meta.clone()
        };
        match kind {
            ObjectKind::Document => {
                let mut document = self.documents.get(id).ok_or_else(missing)?.clone();
                document.template = renaming.apply_to(&document.template);
                document.meta = meta;
                self.documents.insert(copy, document);
            }
            ObjectKind::VRouter => {
                let mut router = self.vrouters.get(id).ok_or_else(missing)?.clone();
                router.template = renaming.apply_to(&router.template);
                let vms = router
                    .vms
                    .iter()
                    .filter_map(|vm| renaming.id(ObjectKind::Vm, *vm));
                router.vms = vms.collect();
                router.meta = meta;
                let usage = Usage {
                    networks: self.floating_networks(&router.template, owner),
                    ..Usage::default()
                };
                self.charge(owner, router.meta.gid, &usage)
                    .map_err(|e| e.message)?;
                self.vrouters.insert(copy, router);
            }
            ObjectKind::Template => {
                let mut template = self.templates.get(id).ok_or_else(missing)?.clone();
                template.template = renaming.apply_to(&template.template);
                template.meta = meta;
                self.templates.insert(copy, template);
            }
            _ => {
                let vm = self.vms.get(id).ok_or_else(missing)?.clone();
                self.copy_vm(vm, meta, renaming)?;
            }
        }
        Ok(())
    }

    fn copy_vm(&mut self, mut vm: Vm, meta: Meta, renaming: &Renaming) -> Result<(), String> {
        let plain = vm.sched_actions.is_empty() && vm.template.get_vector("DISK").is_none();
        if !vm.is_running() || !plain || vm.command.is_some() || vm.template.get_vector("VMGROUP").is_some() {
            return Err(format!("VM {} can't be copied", vm.meta.id));
        }
        vm.template = renaming.apply_to(&vm.template);
        let uuid = self.rng.uuid();
        vm.template.set_in("OS", "UUID", uuid);
        vm.user_template = renaming.apply_to(&vm.user_template);
        vm.deploy_id = renaming.apply(&vm.deploy_id).into_owned();
        vm.meta = meta;
        let usage = vm.usage();
        self.charge(vm.meta.uid, vm.meta.gid, &usage)
            .map_err(|e| e.message)?;
        let (id, host) = (vm.meta.id, vm.host());
        self.vms.insert(id, vm);
        if let Some(host) = host {
            self.occupy(id, host, true);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_are_renamed() {
        let mut renaming = Renaming::default();
        for (old, new) in [
            ("42", "43"),
            ("192.0.2.1", "192.0.2.7"),
            ("alice", "bob"),
            ("02:00:c0:00:02:01", "02:00:c0:00:02:07"),
        ] {
            renaming.add(old, new);
        }
        for (text, expected) in [
            ("", ""),
            ("42", "43"),
            ("[42,420,142]", "[43,420,142]"),
            ("oneks-42-cp: 42.", "oneks-43-cp: 43."),
            ("https://192.0.2.1:6443", "https://192.0.2.7:6443"),
            ("192.0.2.10", "192.0.2.10"),
            ("v1.42", "v1.42"),
            ("02:00:c0:00:02:01", "02:00:c0:00:02:07"),
            ("é42ü alice…", "é43ü bob…"),
        ] {
            assert_eq!(renaming.apply(text), expected);
        }
    }
}
