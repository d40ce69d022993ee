//! One pass, as the engine makes it, with everything checked that a plan promises.

use std::collections::BTreeMap;

use oneks_core::observed::{Credentials, Need, Observed, Settings};
use oneks_core::plan::{Desired, absorb, plan};
use oneks_core::profile::Catalog;
use oneks_core::state::ClusterState;
use oneks_core::status::{Status, Unusable};
use oneks_driver::Owner;

use crate::driver;
use crate::world::{ID, World};

/// Most rounds of one pass.
const ROUNDS: usize = 80;

pub fn catalog() -> Catalog {
    static CATALOG: std::sync::OnceLock<Catalog> = std::sync::OnceLock::new();
    CATALOG.get_or_init(read_catalog).clone()
}

fn read_catalog() -> Catalog {
    let profile = |limits: &str| {
        format!(
            "name: Model\ndescription: d\nsupported_k8s_versions: [v1.32.9, v1.33.1, v1.33.7, v1.34.2]\nuser_inputs:\n  \
             - {{ name: count, type: number, mandatory: true, match: {{ type: number, values: {{ {limits} }} }} }}\n\
             flavours:\n  small: {{ label: s, description: s, override_defaults: true, defaults: {{ count: 1 }} }}\n"
        )
    };
    let files = BTreeMap::from([
        (
            "controlplanes/general/controlplane.conf".to_owned(),
            profile("min: 1, max: 5"),
        ),
        (
            "nodegroups/general/nodegroup.conf".to_owned(),
            profile("min: 0, max: 100"),
        ),
    ]);
    let (catalog, errors) = Catalog::parse(&files);
    assert!(errors.is_empty(), "{errors:?}");
    catalog
}

/// A SPEC with so many control-plane nodes and these node groups.
pub fn spec(version: &str, control_plane: u32, groups: &[(&str, u32)]) -> String {
    let groups: Vec<_> = groups
        .iter()
        .map(|(name, count)| {
            serde_json::json!({ "name": name, "flavour": "small", "user_inputs_values": { "count": count } })
        })
        .collect();
    serde_json::json!({
        "kubernetes_version": version,
        "deployment": { "cluster": { "id": 0 }, "networks": { "public": { "id": 0 }, "private": { "id": 1 } } },
        "control_plane": { "flavour": "small", "user_inputs_values": { "count": control_plane } },
        "node_groups": groups,
    })
    .to_string()
}

/// Where a pass is killed: after so many of its actions.
pub type Kill = Option<usize>;

impl World {
    /// The status as it is written.
    pub fn status(&self) -> Status {
        let doc = self.doc.as_ref();
        let text = doc.and_then(|d| d.status.as_deref());
        match Status::parse(text, ID) {
            Ok(status) => status,
            Err(Unusable::Rebuild(_) | Unusable::Clone { .. }) => Status::new(ID),
            Err(e) => panic!("{e:?}"),
        }
    }

    pub fn state(&self) -> ClusterState {
        if self.doc.is_none() {
            ClusterState::Done
        } else {
            self.status().state
        }
    }

    fn first_look(&mut self, status: &Status) -> Observed {
        let mut ids = status.vm_ids();
        ids.append(&mut self.hints);
        let live = self
            .machines
            .iter()
            .filter(|(id, _)| ids.contains(id))
            .map(|(_, m)| m.vm.clone());
        let gone = self
            .gone
            .iter()
            .filter(|(id, _)| ids.contains(id))
            .map(|(_, vm)| vm.clone());
        Observed {
            vms: live.chain(gone).collect(),
            looked_for: ids,
            settings: Settings {
                probe_every: self.probe_every,
            },
            ..Observed::default()
        }
    }

    fn look(&mut self, observed: &mut Observed, need: &Need) {
        self.looks += 1;
        match need {
            Need::AllVms => {
                assert!(!observed.all_vms, "asked twice");
                observed.vms = self.machines.values().map(|m| m.vm.clone()).collect();
                observed.all_vms = true;
            }
            Need::Routers => assert!(
                observed.routers.replace(self.routers.clone()).is_none(),
                "asked twice"
            ),
            Need::Templates => assert!(
                observed.templates.replace(self.templates.clone()).is_none(),
                "asked twice"
            ),
            Need::Reservations => assert!(observed.reservations.replace(Vec::new()).is_none(), "asked twice"),
            Need::Credentials => {
                let credentials = Credentials {
                    own: self.credentials.clone(),
                    others: vec![None; self.tokens],
                };
                assert!(observed.credentials.replace(credentials).is_none(), "asked twice");
            }
            Need::Cloud => assert!(observed.cloud.replace(Self::cloud()).is_none(), "asked twice"),
            Need::Catalog => assert!(observed.catalog.replace(catalog()).is_none(), "asked twice"),
            Need::Driver { action, .. } => {
                assert!(observed.answer(action).is_none(), "asked twice: {action:?}");
                observed
                    .answers
                    .push(((**action).clone(), driver::ask(self.kind, action)));
            }
        }
    }

    /// One pass. With `kill`, it ends after so many actions and STATUS is not written; false says that it did.
    pub fn pass(&mut self, kill: Kill) -> bool {
        let Some(doc) = self.doc.clone() else { return true };
        let previous = self.status();
        let owner = Owner {
            uid: doc.owner,
            name: format!("user{}", doc.owner),
        };
        let desired = Desired {
            document: ID,
            name: "a cluster",
            owner: owner.clone(),
            spec: Some(&doc.spec),
            recover: doc.recover.as_deref(),
            rotate: doc.rotate.as_deref(),
            delete: doc.delete.as_deref(),
        };
        let mut observed = self.first_look(&previous);
        let (mut status, mut done) = (previous.clone(), 0);
        for _ in 0..ROUNDS {
            let next = plan(&desired, &status, &observed, self.now);
            if !next.needs.is_empty() {
                assert!(next.actions.is_empty());
                assert!(next.status == status);
                next.needs.iter().for_each(|need| self.look(&mut observed, need));
                continue;
            }
            status = next.status;
            if next.actions.is_empty() {
                let again = plan(&desired, &status, &observed, self.now);
                assert!(
                    again.needs.is_empty() && again.actions.is_empty(),
                    "not a fixed point: {:?} {:?}",
                    again.needs,
                    again.actions
                );
                assert!(
                    again.status.same_as(&status),
                    "{}\n{}",
                    status.to_json(),
                    again.status.to_json()
                );
                if !status.same_as(&previous) || previous.rev == 0 {
                    self.writes += 1;
                    self.doc.as_mut().unwrap().status = Some(status.to_json());
                }
                return true;
            }
            self.filled = status.credential.as_ref().map_or(1, |c| c.serial);
            for action in next.actions {
                if kill == Some(done) {
                    return false;
                }
                done += 1;
                let outcome = self.execute(&action);
                if self.doc.is_none() {
                    return true;
                }
                absorb(&mut observed, &action, outcome, owner.uid, self.now);
            }
        }
        panic!(
            "the plan goes round in circles: {:?}",
            &self.log[self.log.len().saturating_sub(12)..]
        );
    }

    /// Passes and time until the cluster has this state. Fails after six hours.
    pub fn until(&mut self, state: ClusterState) -> &mut Self {
        let end = self.now + 6 * 3600;
        self.pass(None);
        while self.state() != state {
            assert!(self.now < end, "never {state}: {}", self.status().to_json());
            self.tick(10);
            self.pass(None);
        }
        self
    }

    /// Passes and time, whatever comes of it.
    pub fn run_for(&mut self, seconds: u64) -> &mut Self {
        let end = self.now + seconds;
        while self.now < end {
            self.pass(None);
            self.tick(10);
        }
        self.pass(None);
        self
    }

    pub fn doc(&mut self) -> &mut crate::world::Doc {
        self.doc.as_mut().unwrap()
    }
}
