//! Clouds with more clusters than can be lived through: one lives, the others are copies of it.
//!
//! A copy has everything that a cluster has in OpenNebula: document, virtual machines, router, template, with ids, names,
//! addresses and proofs of its own. What a front-end notes of its clusters it does not have, as after the loss of one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oneks::made_for;
use oneks_core::fingerprint;
use oneks_core::names::Names;
use oneks_sandbox::{ObjectKind, Renaming, VmTemplate};
use serde_json::Value;

use super::life::Life;

/// Ids of the model. They are told from other numbers in texts by being no other number.
const DOCUMENT: u32 = 40_001;
const USER: u32 = 41_001;
const VMS: u32 = 42_001;
const ROUTER: u32 = 43_001;
const TEMPLATE: u32 = 44_001;

/// Clusters of each user.
const EACH: u32 = 10;

/// A cluster that lived until all was quiet, and everything that belongs to it.
pub struct Model {
    /// Its document.
    pub id: u32,
    objects: Vec<(ObjectKind, u32)>,
    groups: u32,
    templates: Vec<VmTemplate>,
    kubeconfig: String,
    next_user: u32,
}

impl Model {
    /// Lets a cluster live in a cloud in which there is none yet.
    pub fn new(life: &mut Life, spec: &Value) -> Self {
        for (kind, next) in [
            (ObjectKind::Document, DOCUMENT),
            (ObjectKind::User, USER),
            (ObjectKind::Vm, VMS),
            (ObjectKind::VRouter, ROUTER),
            (ObjectKind::Template, TEMPLATE),
        ] {
            life.sandbox.skip_ids(kind, next);
        }
        life.sandbox.add_user("the-model", "pw", 1);
        let id = life.create("the-model:pw", &format!("demo-{DOCUMENT}"), spec);
        life.until_state(id, "RUNNING", 3600);
        life.pass_time(1800);
        assert_eq!(life.errors, Vec::<String>::new());
        let mut objects = vec![(ObjectKind::Document, id)];
        objects.extend(
            life.sandbox
                .live_vms()
                .iter()
                .map(|vm| (ObjectKind::Vm, vm.meta.id)),
        );
        objects.extend(
            life.sandbox
                .vrouters()
                .iter()
                .map(|r| (ObjectKind::VRouter, r.meta.id)),
        );
        let templates = life.sandbox.templates();
        objects.extend(templates.iter().map(|t| (ObjectKind::Template, t.meta.id)));
        let kubeconfig = life.attribute(id, "KUBECONFIG").unwrap();
        Self {
            id,
            objects,
            groups: life.status(id).next_group,
            templates,
            kubeconfig,
            next_user: 0,
        }
    }

    /// Another cluster like this one, of a user who has some others too. Its id.
    pub fn copy(&mut self, life: &Life, number: u32) -> u32 {
        if number.is_multiple_of(EACH) {
            self.next_user = life.sandbox.add_user(&format!("user{}", number / EACH), "pw", 1);
        }
        let owner = self.next_user;
        let complete = |renaming: &mut Renaming| self.complete(life, owner, renaming);
        let renaming = life.sandbox.copy(&self.objects, owner, complete).unwrap();
        renaming.id(ObjectKind::Document, self.id).unwrap()
    }

    /// What only the hooks know of a cluster.
    fn complete(&self, life: &Life, owner: u32, renaming: &mut Renaming) {
        let id = renaming.id(ObjectKind::Document, self.id).unwrap();
        let (old, new) = (Names::new(self.id), Names::new(id));
        for group in 0..self.groups {
            renaming.add(old.group_id(group).to_string(), new.group_id(group).to_string());
        }
        let proof = |id, uid| life.service.made_for(id, uid);
        renaming.add(proof(self.id, USER), proof(id, owner));
        for template in &self.templates {
            let mut text = template.template.clone();
            for added in [made_for::ATTRIBUTE, oneks_core::plan::FINGERPRINT_ATTRIBUTE] {
                text.remove(added);
            }
            let print =
                |text: &opennebula::template::Template| fingerprint::of_text(&text.to_text().unwrap());
            let known = template.template.get(oneks_core::plan::FINGERPRINT_ATTRIBUTE);
            assert_eq!(
                known,
                Some(print(&text).as_str()),
                "a driver's text is otherwise now"
            );
            renaming.add(print(&text), print(&renaming.apply_to(&text)));
        }
        let text = String::from_utf8(STANDARD.decode(&self.kubeconfig).unwrap()).unwrap();
        let copy = STANDARD.encode(renaming.apply(&text).as_bytes());
        renaming.add(&self.kubeconfig, copy);
    }
}
