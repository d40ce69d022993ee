//! The cloud of a fuzzed plan: what there is comes from the input, calls do what they should or fail in turn.

use std::collections::BTreeMap;

use oneks_core::action::Action;
use oneks_core::names::CommandToken;
use oneks_core::observed::{
    Cloud, CloudCluster, CloudNetwork, Credentials, Failure, FailureKind, GuestCommand, Kind as VmKind, Need,
    Observed, Progress, Reservation, Router, Tag, Template, Vm,
};
use oneks_core::plan::Outcome;
use oneks_core::profile::Catalog;
use oneks_driver::{DriverError, Output, VmCondition};
use serde_json::Value;

use super::driver::{self, Kind};
use super::{ID, OWNER};
use crate::cursor::Cursor;

/// The cloud, as far as a plan looks at it.
pub(super) struct World {
    kind: Kind,
    /// Answers that take the place of the drivers' own, by action.
    answers: BTreeMap<String, Value>,
    pub(super) vms: Vec<Vm>,
    routers: Vec<Router>,
    templates: Vec<Template>,
    reservations: Vec<Reservation>,
    credentials: Credentials,
    next: u32,
    /// Of five calls so many fail.
    failing: u32,
    calls: u32,
}

impl World {
    pub(super) fn new(kind: Kind, answers: BTreeMap<String, Value>, parts: &mut Cursor<'_>) -> Self {
        let mut world = Self {
            kind,
            answers,
            vms: Vec::new(),
            routers: Vec::new(),
            templates: Vec::new(),
            reservations: Vec::new(),
            credentials: Credentials::default(),
            next: 1000,
            failing: u32::from(parts.byte() % 5),
            calls: 0,
        };
        while !parts.is_empty() {
            match parts.byte() % 8 {
                0 => world.routers.push(Router {
                    id: u32::try_from(world.routers.len()).unwrap() + 1,
                    uid: parts.choose(&[OWNER, 4]),
                    name: parts.choose(&["oneks-24-cp", "oneks-24-lb", "x"]).to_owned(),
                    vms: parts.choose(&[vec![], vec![104]]),
                    addresses: BTreeMap::from([(0, "192.0.2.1".to_owned())]),
                }),
                1 => {
                    let template = Template {
                        id: u32::try_from(world.templates.len()).unwrap() + 1,
                        uid: parts.choose(&[OWNER, 4]),
                        name: parts
                            .choose(&["oneks-24-a", "oneks-24-cp", "oneks-24-", "x"])
                            .to_owned(),
                        tag: tag(parts),
                        fingerprint: None,
                    };
                    world.templates.push(template);
                }
                2 => world.reservations.push(Reservation {
                    id: u32::try_from(world.reservations.len()).unwrap() + 1,
                    uid: parts.choose(&[OWNER, 4]),
                    name: parts.choose(&["oneks-24-vr", "oneks-24-lb"]).to_owned(),
                    held: vec!["192.0.2.9".to_owned()],
                }),
                3 => {
                    let serial = parts.choose(&[1, 2, u32::MAX]);
                    world.credentials.own.insert(serial, expiry(serial));
                }
                _ => {
                    let vm = vm(parts);
                    if world.vms.iter().all(|known| known.id != vm.id) {
                        world.vms.push(vm);
                    }
                }
            }
        }
        world
    }

    pub(super) fn look(&self, observed: &mut Observed, need: &Need) {
        let first = match need {
            Need::AllVms => {
                observed.vms.clone_from(&self.vms);
                !std::mem::replace(&mut observed.all_vms, true)
            }
            Need::Routers => observed.routers.replace(self.routers.clone()).is_none(),
            Need::Templates => observed.templates.replace(self.templates.clone()).is_none(),
            Need::Reservations => observed.reservations.replace(self.reservations.clone()).is_none(),
            Need::Credentials => observed.credentials.replace(self.credentials.clone()).is_none(),
            Need::Cloud => observed.cloud.replace(cloud()).is_none(),
            Need::Catalog => observed.catalog.replace(catalog()).is_none(),
            Need::Driver { action, .. } => {
                let known = observed.answer(action).is_some();
                let answer = self.answer(action);
                observed.answers.push(((**action).clone(), answer));
                !known
            }
        };
        assert!(first, "asked twice: {need:?}");
    }

    fn answer(&self, action: &oneks_driver::Action) -> Result<Value, DriverError> {
        use oneks_driver::Action as A;
        if let Some(answer) = self.answers.get(action.name()) {
            return match serde_json::from_value(answer.clone()) {
                Ok(error) => Err(error),
                Err(_) => Ok(answer.clone()),
            };
        }
        match action {
            // The model would make a VM for each of four thousand million nodes.
            A::Provision { group, .. }
            | A::Scale { group, .. }
            | A::Upgrade { group, .. }
            | A::Observe { group, .. }
                if group.replicas > 200 =>
            {
                Err(DriverError::fatal("TooMany", "too many"))
            }
            action => driver::ask(self.kind, action),
        }
    }

    pub(super) fn execute(&mut self, action: &Action) -> Outcome {
        self.calls += 1;
        self.next += 1;
        let id = self.next;
        if self.calls % 5 < self.failing {
            let kinds = [
                FailureKind::Quota,
                FailureKind::WrongState,
                FailureKind::Gone,
                FailureKind::Unreachable,
            ];
            return Outcome::Failed(Failure {
                kind: kinds[self.calls as usize % kinds.len()],
                message: "no".to_owned(),
            });
        }
        match action {
            Action::CreateTemplate { name, .. } => self.templates.push(Template {
                id,
                uid: OWNER,
                name: name.clone(),
                tag: None,
                fingerprint: None,
            }),
            Action::AllocateRouter { name, .. } => self.routers.push(Router {
                id,
                uid: OWNER,
                name: name.clone(),
                vms: Vec::new(),
                addresses: BTreeMap::new(),
            }),
            Action::AllocateVm { vm } => self.vms.push(new_vm(id, vm.name.clone(), None)),
            Action::InstantiateRouter { id: router, name, .. } => {
                let vm = new_vm(id, format!("vr-{name}-0"), Some(*router));
                self.vms.push(vm);
                let routers = self.routers.iter_mut().filter(|r| r.id == *router);
                routers.for_each(|r| r.vms.push(id));
                return Outcome::Done;
            }
            Action::TerminateVm { id, .. } | Action::DeleteVm { id, .. } => {
                self.vms.retain(|vm| vm.id != *id);
                return Outcome::Done;
            }
            Action::DeleteRouter { id, .. } => {
                self.routers.retain(|r| r.id != *id);
                return Outcome::Done;
            }
            Action::DeleteTemplate { id, .. } => {
                self.templates.retain(|t| t.id != *id);
                return Outcome::Done;
            }
            Action::DeleteReservation { id, .. } => {
                self.reservations.retain(|r| r.id != *id);
                return Outcome::Done;
            }
            Action::CreateCredential { serial } => {
                self.credentials.own.insert(*serial, expiry(*serial));
                return Outcome::Done;
            }
            Action::RevokeCredential { serial } => {
                self.credentials.own.remove(serial);
                return Outcome::Done;
            }
            _ => return Outcome::Done,
        }
        Outcome::Created(id)
    }
}

/// Every third credential ends while the passes are made.
fn expiry(serial: u32) -> Option<u64> {
    serial.is_multiple_of(3).then_some(1_003_000)
}

fn new_vm(id: u32, name: String, vrouter: Option<u32>) -> Vm {
    let tag = Tag {
        cluster: ID,
        group: None,
        kind: VmKind::Router,
    };
    Vm {
        id,
        uid: OWNER,
        name,
        tag: vrouter.map(|_| tag),
        condition: VmCondition::Starting,
        steady: false,
        state: "PENDING".to_owned(),
        created: 0,
        ip: None,
        vrouter,
        error: None,
        reports: BTreeMap::new(),
        command: None,
    }
}

fn tag(parts: &mut Cursor<'_>) -> Option<Tag> {
    let kinds = [
        VmKind::Seed,
        VmKind::Router,
        VmKind::ControlPlane,
        VmKind::Node,
        VmKind::Other,
    ];
    let tag = Tag {
        cluster: parts.choose(&[ID, ID, ID, 25]),
        group: parts.choose(&[
            Some(24_001),
            Some(24_000),
            Some(24_002),
            None,
            Some(7),
            Some(u32::MAX),
        ]),
        kind: parts.choose(&kinds),
    };
    parts.choose(&[Some(tag.clone()), Some(tag.clone()), Some(tag), None])
}

fn vm(parts: &mut Cursor<'_>) -> Vm {
    let conditions = [
        VmCondition::Running,
        VmCondition::Starting,
        VmCondition::Down,
        VmCondition::Failed,
        VmCondition::Ending,
    ];
    let condition = parts.choose(&conditions);
    let names = [
        "oneks-24-seed",
        "oneks-24-a-x1",
        "oneks-24-x1",
        "oneks-24",
        "vr-oneks-24-cp-0",
        "é",
    ];
    Vm {
        id: 100 + u32::from(parts.byte() % 12),
        uid: parts.choose(&[OWNER, OWNER, 4]),
        name: parts.choose(&names).to_owned(),
        tag: tag(parts),
        condition,
        steady: condition == VmCondition::Running && parts.byte().is_multiple_of(2),
        state: parts.choose(&["ACTIVE/RUNNING", "DONE", ""]).to_owned(),
        created: parts.choose(&[0, 999_000, u64::MAX]),
        ip: None,
        vrouter: parts.choose(&[None, Some(1), Some(u32::MAX)]),
        error: None,
        reports: parts
            .choose(&[None, Some("READY"), Some("FAILED"), Some("x")])
            .map(|report| ("ONEKS_STATE".to_owned(), report.to_owned()))
            .into_iter()
            .collect(),
        command: command(parts),
    }
}

fn command(parts: &mut Cursor<'_>) -> Option<GuestCommand> {
    if parts.byte().is_multiple_of(2) {
        return None;
    }
    let purposes = [
        "apply-24001-aa",
        "probe-24000-aa",
        "kubeconfig-24000-aa",
        "rotate-24000-aa",
        "",
    ];
    let token = CommandToken {
        cluster: parts.choose(&[ID, 7]),
        purpose: parts.choose(&purposes).to_owned(),
        serial: parts.choose(&[0, 1, 2, u64::MAX]),
    };
    Some(GuestCommand {
        token: parts.choose(&[Some(token), None]),
        progress: parts.choose(&[Progress::Executing, Progress::Done, Progress::Failed]),
        output: parts
            .choose(&[None, Some("{}"), Some(""), Some("{\"nodes\":[]}")])
            .map(|stdout| Output {
                return_code: i32::from(parts.byte() % 3),
                stdout: stdout.to_owned(),
                stderr: String::new(),
            }),
    })
}

fn cloud() -> Cloud {
    let network = |id, name: &str| CloudNetwork {
        id,
        name: name.to_owned(),
    };
    Cloud {
        cluster: Some(CloudCluster {
            hosts: [0].into(),
            datastores: [0, 1].into(),
            networks: [0, 1].into(),
        }),
        networks: vec![network(0, "public"), network(1, "private")],
        images: Vec::new(),
        may_create: ["VM", "TEMPLATE", "VROUTER"].map(str::to_owned).into(),
        xmlrpc: "http://192.0.2.1:2633/RPC2".to_owned(),
    }
}

/// A family of control planes and one of node groups, with an input each.
fn catalog() -> Catalog {
    static CATALOG: std::sync::OnceLock<Catalog> = std::sync::OnceLock::new();
    CATALOG
        .get_or_init(|| {
            let profile = |limits: &str| {
                format!(
                    "name: Model\ndescription: d\nsupported_k8s_versions: [v1.32.9, v1.33.7, v1.34.2]\nuser_inputs:\n  \
                     - {{ name: count, type: number, mandatory: true, match: {{ type: number, values: {{ {limits} }} \
                     }} }}\nflavours:\n  small: {{ defaults: {{ count: 1 }} }}\n"
                )
            };
            let files = BTreeMap::from([
                ("controlplanes/general/controlplane.conf".to_owned(), profile("min: 1, max: 5")),
                ("nodegroups/general/nodegroup.conf".to_owned(), profile("min: 0, max: 100")),
            ]);
            let (catalog, errors) = Catalog::parse(&files);
            assert_eq!(errors, []);
            catalog
        })
        .clone()
}
