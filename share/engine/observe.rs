//! Looking at what the plan asks for. Nothing is judged here.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use oneks_core::names::{MAX_ID, Names};
use oneks_core::observed::{Cloud, CloudCluster, CloudImage, CloudNetwork, Credentials, Need, Observed};
use oneks_core::spec::Spec;
use oneks_driver::Owner;
use opennebula::calls::{PoolFilter, PoolRange, VmStateFilter};
use opennebula::client::Client;
use opennebula::error::Error;
use opennebula::objects::{Resource, Right, User, Vm, VmState};

use crate::catalog;
use crate::convert;
use crate::notes::Notes;
use crate::service::Service;

/// Where a pass looks.
pub struct Observer<'a> {
    /// The service.
    pub service: &'a Service,
    /// The cluster.
    pub cluster: u32,
    /// Its owner.
    pub owner: &'a Owner,
    /// OpenNebula as the owner.
    pub client: Client,
    /// What SPEC says, if it can be read.
    pub spec: Option<&'a Spec>,
    /// The owner, once asked for.
    pub user: OnceCell<User>,
}

impl Observer<'_> {
    /// The VMs with these ids, as far as they are there and the owner may see them.
    pub fn vms(&self, observed: &mut Observed, ids: Vec<u32>) -> Result<(), Error> {
        // Whoever forges a STATUS may write ids that OpenNebula can't have, and would refuse to look for.
        let possible: Vec<u32> = ids.iter().copied().filter(|id| *id <= MAX_ID).collect();
        let pool = self.client.vmpool_infoset(&possible, true)?;
        self.tell_broken("VM", &pool.broken);
        observed.vms = pool
            .items
            .iter()
            .map(|vm| convert::vm(vm, self.private()))
            .collect();
        observed.looked_for = ids.into_iter().collect();
        Ok(())
    }

    /// A VM that was read before this pass began.
    pub fn saw(&self, observed: &mut Observed, vm: &Vm) {
        observed.vms = vec![convert::vm(vm, self.private())];
        observed.looked_for = BTreeSet::from([vm.id]);
    }

    /// Satisfies one need.
    pub fn look(&self, observed: &mut Observed, need: &Need) -> Result<(), Error> {
        let all = PoolRange::default();
        match need {
            Need::AllVms => {
                let states = VmStateFilter::NotDone;
                let pool = self.client.every_vm(PoolFilter::Mine, states, |_| true)?;
                self.tell_broken("VM", &pool.broken);
                let alive = pool.items.iter().map(|vm| convert::vm(vm, self.private()));
                // The pool leaves out VMs that are DONE; what an earlier look saw of them, such as a seed's last
                // report, is still true.
                observed.vms.retain(|vm| vm.state == VmState::Done.as_str());
                observed.vms.extend(alive);
                observed.all_vms = true;
            }
            Need::Routers => {
                let pool = self.client.vrouterpool_info(PoolFilter::Mine, all)?;
                self.tell_broken("virtual router", &pool.broken);
                observed.routers = Some(pool.items.iter().map(convert::router).collect());
            }
            Need::Templates => {
                let pool = self.client.templatepool_info(PoolFilter::Mine, all)?;
                self.tell_broken("VM template", &pool.broken);
                observed.templates = Some(pool.items.iter().map(convert::template).collect());
            }
            Need::Reservations => observed.reservations = Some(self.reservations()?),
            Need::Credentials => observed.credentials = Some(self.credentials(!observed.made.is_empty())?),
            Need::Cloud => observed.cloud = Some(self.cloud()?),
            Need::Catalog => {
                let (catalog, errors) = catalog::load(&self.service.profiles);
                for error in errors {
                    log::warn!("profile {error}");
                }
                observed.catalog = Some(catalog);
            }
            Need::Driver { driver, action } => {
                let answer = self.service.drivers.ask(driver, action);
                if let Err(error) = &answer {
                    // What comes of it is said in STATUS.
                    log::debug!(
                        "cluster {}: driver {driver}, {}: {error}",
                        self.cluster,
                        action.name()
                    );
                }
                observed.answers.push(((**action).clone(), answer));
            }
        }
        Ok(())
    }

    fn private(&self) -> Option<u32> {
        self.spec.map(|s| s.deployment.networks.private.id)
    }

    fn tell_broken(&self, what: &str, broken: &[(Option<u32>, String)]) {
        for (id, reason) in broken {
            let id = id.map_or_else(|| "of unknown id".to_owned(), |id| id.to_string());
            if Notes::new(self.service.gate.dir()).is_new(&format!("{what}-{id}"), reason) {
                log::warn!(
                    "cluster {}: {what} {id} can't be read and is passed over: {reason}",
                    self.cluster
                );
            }
        }
    }

    fn reservations(&self) -> Result<Vec<oneks_core::observed::Reservation>, Error> {
        let names = Names::new(self.cluster).reservations();
        let pool = self.client.vnpool_info(PoolFilter::Mine, PoolRange::default())?;
        let mut found = Vec::new();
        for network in pool
            .items
            .iter()
            .filter(|n| names.contains(&n.name) && n.parent_network_id.is_some())
        {
            // The pool leaves out the leases.
            match self.client.vn_info(network.id, false) {
                Ok(network) => found.push(convert::reservation(&network)),
                Err(e) if e.is_not_found() => {}
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }

    /// The tokens as they were when this pass first asked; or, once it has made one, as they are.
    fn credentials(&self, made: bool) -> Result<Credentials, Error> {
        let now = made.then(|| self.client.user_info(None, false)).transpose()?;
        let user = match &now {
            Some(user) => user,
            None => self.user()?,
        };
        let mut found = Credentials::default();
        for token in &user.login_tokens {
            match self.service.credential_number(self.cluster, &token.token) {
                Some(serial) => drop(found.own.insert(serial, token.expires)),
                None => found.others.push(token.expires),
            }
        }
        Ok(found)
    }

    /// The owner, with the tokens as they were when this pass first asked.
    fn user(&self) -> Result<&User, Error> {
        if let Some(user) = self.user.get() {
            return Ok(user);
        }
        let user = self.client.user_info(None, false)?;
        Ok(self.user.get_or_init(|| user))
    }

    /// The preflight's picture. What an ordinary user may not even read is read as oneadmin, ids only: that the owner
    /// can't read it is no reason to refuse.
    fn cloud(&self) -> Result<Cloud, Error> {
        let Some(spec) = self.spec else {
            return Ok(Cloud::default());
        };
        let cluster = match self.service.admin.cluster_info(spec.deployment.cluster.id, false) {
            Ok(cluster) => Some(CloudCluster {
                hosts: cluster.hosts.into_iter().collect(),
                datastores: cluster.datastores.into_iter().collect(),
                networks: cluster.vnets.into_iter().collect(),
            }),
            Err(e) if e.is_not_found() => None,
            Err(e) => return Err(e),
        };
        let all = PoolRange::default();
        let networks = self.client.vnpool_info(PoolFilter::All, all)?;
        let images = match spec.deployment.datastores.image {
            Some(_) => self.client.imagepool_info(PoolFilter::All, all)?.items,
            None => Vec::new(),
        };
        let user = self.user()?;
        let rules = self.service.admin.acl_info()?;
        let may_create = [
            ("VM", Resource::Vm),
            ("TEMPLATE", Resource::Template),
            ("VROUTER", Resource::Vrouter),
        ]
        .into_iter()
        .filter(|(_, resource)| {
            // oneadmin and the members of its group may do everything, without a rule.
            user.id == 0
                || user.groups.contains(&0)
                || rules
                    .items
                    .iter()
                    .any(|rule| rule.grants(user.id, &user.groups, *resource, Right::Create, 0))
        })
        .map(|(name, _)| name.to_owned())
        .collect();
        Ok(Cloud {
            cluster,
            networks: networks
                .items
                .iter()
                .map(|n| CloudNetwork {
                    id: n.id,
                    name: n.name.clone(),
                })
                .collect(),
            images: images
                .iter()
                .map(|image| CloudImage {
                    id: image.id,
                    name: image.name.clone(),
                    datastore: image.datastore_id.unwrap_or(u32::MAX),
                    size: image.size,
                    ready: image.state.is_usable(),
                    attributes: image
                        .template
                        .iter()
                        .filter_map(|a| Some((a.name.clone(), a.value.as_text()?.to_owned())))
                        // Profiles may recognise an image by its name.
                        .chain([("NAME".to_owned(), image.name.clone())])
                        .collect(),
                })
                .collect(),
            may_create,
            xmlrpc: self.service.config.one_xmlrpc_tproxy.clone(),
        })
    }
}
