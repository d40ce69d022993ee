//! The state of the cloud.

use std::collections::VecDeque;

use crate::acl::Acl;
use crate::agenda::{Agenda, Task};
use crate::calllog::CallLog;
use crate::clusters::Cluster;
use crate::config::Config;
use crate::datastores::Datastore;
use crate::documents::Document;
use crate::events::Events;
use crate::failure::Failure;
use crate::faults::Faults;
use crate::groups::Group;
use crate::guest::Guests;
use crate::hooks::Hook;
use crate::hosts::Host;
use crate::images::Image;
use crate::market::MarketApp;
use crate::meta::{Meta, ObjectKind};
use crate::notices::Notice;
use crate::pool::{Object, Pool};
use crate::rng::Rng;
use crate::sched_actions::SchedAction;
use crate::templates::VmTemplate;
use crate::users::User;
use crate::vmgroups::VmGroup;
use crate::vms::{Trigger, Vm};
use crate::vnets::Vnet;
use crate::vrouters::VRouter;

/// Everything behind the lock of a sandbox.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) now: u64,
    /// Until then nobody answers.
    pub(crate) down_until: u64,
    pub(crate) rng: Rng,
    pub(crate) agenda: Agenda,

    pub(crate) users: Pool<User>,
    pub(crate) groups: Pool<Group>,
    pub(crate) acls: Pool<Acl>,
    pub(crate) clusters: Pool<Cluster>,
    pub(crate) hosts: Pool<Host>,
    pub(crate) datastores: Pool<Datastore>,
    pub(crate) images: Pool<Image>,
    pub(crate) vnets: Pool<Vnet>,
    pub(crate) templates: Pool<VmTemplate>,
    pub(crate) vms: Pool<Vm>,
    pub(crate) vrouters: Pool<VRouter>,
    pub(crate) vmgroups: Pool<VmGroup>,
    pub(crate) documents: Pool<Document>,
    pub(crate) hooks: Pool<Hook>,
    pub(crate) market_apps: Pool<MarketApp>,
    pub(crate) sched_actions: Pool<SchedAction>,

    pub(crate) events: Events,
    pub(crate) log: CallLog,
    pub(crate) faults: Faults,

    /// The guests, unless there are none or they are at work at this moment.
    pub(crate) guests: Option<Box<dyn Guests>>,
    pub(crate) has_guests: bool,
    /// What the guests have to be told.
    pub(crate) notices: VecDeque<Notice>,
    /// What the life-cycle manager does after the call that is being performed.
    pub(crate) triggers: VecDeque<(u32, Trigger)>,
}

impl Core {
    /// An installation just after its first start.
    pub(crate) fn new(config: Config, guests: Option<Box<dyn Guests>>) -> Self {
        let mut core = Self {
            now: config.start,
            down_until: 0,
            rng: Rng::new(config.seed),
            agenda: Agenda::default(),
            users: Pool::default(),
            groups: Pool::default(),
            acls: Pool::default(),
            clusters: Pool::default(),
            hosts: Pool::default(),
            datastores: Pool::default(),
            images: Pool::default(),
            vnets: Pool::default(),
            templates: Pool::default(),
            vms: Pool::default(),
            vrouters: Pool::default(),
            vmgroups: Pool::default(),
            documents: Pool::default(),
            hooks: Pool::default(),
            market_apps: Pool::default(),
            sched_actions: Pool::default(),
            events: Events::default(),
            log: CallLog::default(),
            faults: Faults::default(),
            has_guests: guests.is_some(),
            guests,
            notices: VecDeque::new(),
            triggers: VecDeque::new(),
            config,
        };
        core.bootstrap();
        core
    }

    /// The same state once more, with other guests.
    pub(crate) fn fork(&self, guests: Option<Box<dyn Guests>>) -> Self {
        Self {
            config: self.config.clone(),
            now: self.now,
            down_until: self.down_until,
            rng: self.rng.clone(),
            agenda: self.agenda.clone(),
            users: self.users.clone(),
            groups: self.groups.clone(),
            acls: self.acls.clone(),
            clusters: self.clusters.clone(),
            hosts: self.hosts.clone(),
            datastores: self.datastores.clone(),
            images: self.images.clone(),
            vnets: self.vnets.clone(),
            templates: self.templates.clone(),
            vms: self.vms.clone(),
            vrouters: self.vrouters.clone(),
            vmgroups: self.vmgroups.clone(),
            documents: self.documents.clone(),
            hooks: self.hooks.clone(),
            market_apps: self.market_apps.clone(),
            sched_actions: self.sched_actions.clone(),
            events: self.events.clone(),
            log: self.log.clone(),
            faults: self.faults.clone(),
            has_guests: guests.is_some(),
            guests,
            notices: self.notices.clone(),
            triggers: self.triggers.clone(),
        }
    }

    #[cfg(test)]
    pub(crate) fn bare() -> Self {
        Self::new(Config::default(), None)
    }

    pub(crate) fn is_down(&self) -> bool {
        self.now < self.down_until
    }

    /// Performs one task of the agenda.
    pub(crate) fn happen(&mut self, task: &Task) {
        match task {
            Task::Schedule => self.schedule(),
            Task::Driver { vm, serial } => self.driver_done(*vm, *serial),
            Task::ExecProbe => self.exec_probe(),
            Task::SchedActions => self.run_sched_actions(),
            Task::Image { id } => self.image_ready(*id),
            Task::Wake => {}
        }
    }

    /// The object of a kind and id, if it has an owner and a template.
    pub(crate) fn object(&self, kind: ObjectKind, id: u32) -> Option<&dyn Object> {
        fn of<T: Object>(pool: &Pool<T>, id: u32) -> Option<&dyn Object> {
            pool.get(id).map(|object| object as &dyn Object)
        }
        match kind {
            ObjectKind::Vm => of(&self.vms, id),
            ObjectKind::Host => of(&self.hosts, id),
            ObjectKind::Net => of(&self.vnets, id),
            ObjectKind::Image => of(&self.images, id),
            ObjectKind::User => of(&self.users, id),
            ObjectKind::Template => of(&self.templates, id),
            ObjectKind::Group => of(&self.groups, id),
            ObjectKind::Datastore => of(&self.datastores, id),
            ObjectKind::Cluster => of(&self.clusters, id),
            ObjectKind::Document => of(&self.documents, id),
            ObjectKind::VRouter => of(&self.vrouters, id),
            ObjectKind::VmGroup => of(&self.vmgroups, id),
            ObjectKind::Hook => of(&self.hooks, id),
            ObjectKind::MarketplaceApp => of(&self.market_apps, id),
            _ => None,
        }
    }

    /// Like [`Core::object`], to change it.
    pub(crate) fn object_mut(&mut self, kind: ObjectKind, id: u32) -> Option<&mut dyn Object> {
        fn of<T: Object>(pool: &mut Pool<T>, id: u32) -> Option<&mut dyn Object> {
            pool.get_mut(id).map(|object| object as &mut dyn Object)
        }
        match kind {
            ObjectKind::Vm => of(&mut self.vms, id),
            ObjectKind::Host => of(&mut self.hosts, id),
            ObjectKind::Net => of(&mut self.vnets, id),
            ObjectKind::Image => of(&mut self.images, id),
            ObjectKind::User => of(&mut self.users, id),
            ObjectKind::Template => of(&mut self.templates, id),
            ObjectKind::Group => of(&mut self.groups, id),
            ObjectKind::Datastore => of(&mut self.datastores, id),
            ObjectKind::Cluster => of(&mut self.clusters, id),
            ObjectKind::Document => of(&mut self.documents, id),
            ObjectKind::VRouter => of(&mut self.vrouters, id),
            ObjectKind::VmGroup => of(&mut self.vmgroups, id),
            ObjectKind::Hook => of(&mut self.hooks, id),
            ObjectKind::MarketplaceApp => of(&mut self.market_apps, id),
            _ => None,
        }
    }

    /// Ids of all objects of a kind, the newest first as oned lists them.
    pub(crate) fn ids(&self, kind: ObjectKind) -> Vec<u32> {
        let mut ids = match kind {
            ObjectKind::Vm => self.vms.ids(),
            ObjectKind::Host => self.hosts.ids(),
            ObjectKind::Net => self.vnets.ids(),
            ObjectKind::Image => self.images.ids(),
            ObjectKind::User => self.users.ids(),
            ObjectKind::Template => self.templates.ids(),
            ObjectKind::Group => self.groups.ids(),
            ObjectKind::Datastore => self.datastores.ids(),
            ObjectKind::Cluster => self.clusters.ids(),
            ObjectKind::Document => self.documents.ids(),
            ObjectKind::VRouter => self.vrouters.ids(),
            ObjectKind::VmGroup => self.vmgroups.ids(),
            ObjectKind::Hook => self.hooks.ids(),
            ObjectKind::MarketplaceApp => self.market_apps.ids(),
            _ => Vec::new(),
        };
        ids.reverse();
        ids
    }

    /// The object, or the refusal that oned answers if there is none.
    pub(crate) fn existing(&self, kind: ObjectKind, id: i64) -> Result<&dyn Object, Failure> {
        let object = u32::try_from(id).ok().and_then(|id| self.object(kind, id));
        object.ok_or(Failure::no_exists(id))
    }

    /// Refuses a name that another object of the owner has, where names are unique.
    pub(crate) fn check_unique(&self, kind: ObjectKind, name: &str, uid: u32) -> Result<(), String> {
        match self.holder_of(kind, name, uid) {
            Some(id) => {
                let kind = match kind {
                    ObjectKind::VmGroup => "VMGroup",
                    ObjectKind::Hook => "Hook",
                    kind => kind.name(),
                };
                Err(format!("NAME is already taken by {kind} {id}."))
            }
            None => Ok(()),
        }
    }

    /// Who has a name that must be unique.
    pub(crate) fn holder_of(&self, kind: ObjectKind, name: &str, uid: u32) -> Option<u32> {
        if !kind.has_unique_names() {
            return None;
        }
        let per_owner = matches!(
            kind,
            ObjectKind::Net | ObjectKind::Image | ObjectKind::Template | ObjectKind::VmGroup
        );
        let mut ids = self.ids(kind).into_iter();
        ids.find(|id| {
            let meta = self.object(kind, *id).map(Object::meta);
            meta.is_some_and(|meta: &Meta| meta.name == name && (!per_owner || meta.uid == uid))
        })
    }
}
