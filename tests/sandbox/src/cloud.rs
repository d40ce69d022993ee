//! Filling a cloud: single objects, and a usual installation.

use opennebula::template::Template;

use crate::acl::{Acl, Caller};
use crate::core::Core;
use crate::datastores::DatastoreKind;
use crate::failure::Failure;
use crate::meta::{ObjectKind, Permissions};
use crate::sandbox::Sandbox;

/// Passwords of the users of [`Sandbox::standard_cloud`].
pub const ALICE_PASSWORD: &str = "alicepw";
/// See [`ALICE_PASSWORD`].
pub const MALLORY_PASSWORD: &str = "mallorypw";

impl Core {
    /// What oned makes at its first start.
    pub(crate) fn bootstrap(&mut self) {
        let password = self.config.oneadmin_password.clone();
        let secret = self.config.server_secret.clone();
        self.insert_group("oneadmin");
        self.insert_group("users");
        self.groups.skip_to(100);
        self.insert_user("oneadmin", &password, "core", 0);
        self.insert_user("serveradmin", &secret, "server_cipher", 0);
        let cluster = self.insert_cluster("default");
        self.insert_datastore("system", DatastoreKind::System, vec![cluster]);
        self.insert_datastore("default", DatastoreKind::Image, vec![cluster]);
        self.insert_datastore("files", DatastoreKind::File, vec![cluster]);
        for rule in [
            "@1 VM+IMAGE+TEMPLATE+DOCUMENT+SECGROUP+VMGROUP+BACKUPJOB/* CREATE *",
            "* ZONE/* USE *",
            "* MARKETPLACE+MARKETPLACEAPP/* USE *",
            "@1 HOST/* MANAGE #0",
            "@1 NET/* USE #0",
            "@1 DATASTORE/* USE #0",
        ] {
            if let Ok(acl) = Acl::parse(rule) {
                let id = self.acls.next_id();
                self.acls.insert(id, acl);
            }
        }
    }

    pub(crate) fn oneadmin(&mut self) -> Option<Caller> {
        self.caller_for(0)
    }

    fn permit(&mut self, kind: ObjectKind, id: u32, umask: u32) {
        if let Some(object) = self.object_mut(kind, id) {
            object.meta_mut().permissions = Permissions::from_umask(umask);
        }
    }
}

/// Why an object could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(String);

impl From<Failure> for SetupError {
    fn from(failure: Failure) -> Self {
        Self(failure.message)
    }
}

impl From<String> for SetupError {
    fn from(message: String) -> Self {
        Self(message)
    }
}

/// Making objects as an administrator, without calls, events or log entries.
impl Sandbox {
    /// A user with password in a group. Its id.
    pub fn add_user(&self, name: &str, password: &str, group: u32) -> u32 {
        self.lock().insert_user(name, password, "core", group)
    }

    /// A group. Its id.
    pub fn add_group(&self, name: &str) -> u32 {
        self.lock().insert_group(name)
    }

    /// An access rule such as `@1 VROUTER/* CREATE *`. Its id.
    ///
    /// # Errors
    /// The rule can't be read.
    pub fn add_acl(&self, rule: &str) -> Result<u32, SetupError> {
        let acl = Acl::parse(rule)?;
        let mut core = self.lock();
        let id = core.acls.next_id();
        core.acls.insert(id, acl);
        Ok(id)
    }

    /// Removes an access rule. Whether it was there.
    pub fn remove_acl(&self, id: u32) -> bool {
        self.lock().acls.remove(id).is_some()
    }

    /// A cluster. Its id.
    pub fn add_cluster(&self, name: &str) -> u32 {
        self.lock().insert_cluster(name)
    }

    /// A host with so many CPUs and MiB of memory in a cluster. Its id.
    pub fn add_host(&self, name: &str, cluster: u32, cpus: u64, memory_mib: u64) -> u32 {
        let mut core = self.lock();
        let id = core.insert_host(name, cluster, cpus, memory_mib);
        core.trigger_scheduler();
        id
    }

    /// A datastore in some clusters, for everybody. Its id.
    pub fn add_datastore(&self, name: &str, kind: DatastoreKind, clusters: &[u32]) -> u32 {
        self.lock().insert_datastore(name, kind, clusters.to_vec())
    }

    /// A network of oneadmin in some clusters, with one range of IPv4 addresses, that everybody may use. Its id.
    ///
    /// # Errors
    /// The name is taken or can't be used, or the address is none.
    pub fn add_vnet(
        &self,
        name: &str,
        clusters: &[u32],
        first_ip: &str,
        size: u32,
    ) -> Result<u32, SetupError> {
        let text = format!(
            "NAME=\"{name}\"\nVN_MAD=\"dummy\"\nBRIDGE=\"br-{name}\"\n\
             AR=[TYPE=\"IP4\",IP=\"{first_ip}\",SIZE=\"{size}\"]"
        );
        self.add_vnet_from(&text, clusters)
    }

    /// A network of oneadmin from its template, that everybody may use. Its id.
    ///
    /// # Errors
    /// The template is refused.
    pub fn add_vnet_from(&self, template: &str, clusters: &[u32]) -> Result<u32, SetupError> {
        let template = crate::shared::parse(template)?;
        let mut core = self.lock();
        let oneadmin = core.oneadmin().ok_or_else(|| SetupError("no oneadmin".into()))?;
        let id = core.insert_vnet(&oneadmin, template, clusters.to_vec())?;
        core.permit(ObjectKind::Net, id, 0o173);
        Ok(id)
    }

    /// An image of oneadmin, that everybody may use, with more attributes. Its id.
    ///
    /// # Errors
    /// The name is taken, or the attributes can't be read.
    pub fn add_image(&self, name: &str, datastore: u32, attributes: &str) -> Result<u32, SetupError> {
        let template = crate::shared::parse(&format!(
            "NAME=\"{name}\"\nPATH=\"/dev/null\"\nTYPE=\"OS\"\n{attributes}"
        ))?;
        let mut core = self.lock();
        let oneadmin = core.oneadmin().ok_or_else(|| SetupError("no oneadmin".into()))?;
        let id = core.insert_image(&oneadmin, template, datastore)?;
        core.permit(ObjectKind::Image, id, 0o173);
        Ok(id)
    }

    /// An appliance of the marketplace, with its attributes. Its id.
    ///
    /// # Errors
    /// The attributes can't be read.
    pub fn add_market_app(&self, name: &str, attributes: &str) -> Result<u32, SetupError> {
        let template: Template = crate::shared::parse(attributes)?;
        Ok(self.lock().insert_market_app(name, template))
    }

    /// Makes the next object of a kind get this id, or a higher one if that is taken.
    pub fn skip_ids(&self, kind: ObjectKind, next: u32) {
        let mut core = self.lock();
        match kind {
            ObjectKind::Vm => core.vms.skip_to(next),
            ObjectKind::Net => core.vnets.skip_to(next),
            ObjectKind::Image => core.images.skip_to(next),
            ObjectKind::Template => core.templates.skip_to(next),
            ObjectKind::Document => core.documents.skip_to(next),
            ObjectKind::VRouter => core.vrouters.skip_to(next),
            ObjectKind::VmGroup => core.vmgroups.skip_to(next),
            ObjectKind::Hook => core.hooks.skip_to(next),
            ObjectKind::ScheduledAction => core.sched_actions.skip_to(next),
            ObjectKind::User => core.users.skip_to(next),
            // Hosts and the like are made by whoever fills the cloud.
            _ => {}
        }
    }

    /// A usual installation: users `alice` (2) and `mallory` (3) in group `users`, who may create VMs, images,
    /// templates, documents and virtual routers; cluster 0 with four hosts; networks `public` (0) and `private` (1);
    /// in datastore 1 the images that clusters are made of, marked by `ONEKS_IMAGE` as `seed`, `node` and `router`.
    ///
    /// # Errors
    /// The cloud is not fresh, so that names are taken.
    pub fn standard_cloud(&self) -> Result<(), SetupError> {
        self.add_user("alice", ALICE_PASSWORD, 1);
        self.add_user("mallory", MALLORY_PASSWORD, 1);
        self.add_acl("@1 VROUTER/* CREATE #0")?;
        for number in 0..4 {
            self.add_host(&format!("host{number}"), 0, 64, 256 * 1024);
        }
        let network = |name: &str, bridge: &str, first: &str, gateway: &str, size: u32| {
            let text = format!(
                "NAME=\"{name}\"\nVN_MAD=\"dummy\"\nBRIDGE=\"{bridge}\"\nGATEWAY=\"{gateway}\"\nDNS=\"{gateway}\"\n\
                 NETWORK_MASK=\"255.255.255.0\"\nAR=[TYPE=\"IP4\",IP=\"{first}\",SIZE=\"{size}\"]"
            );
            self.add_vnet_from(&text, &[0])
        };
        network("public", "br0", "192.0.2.10", "192.0.2.1", 200)?;
        network("private", "br1", "198.51.100.10", "198.51.100.1", 240)?;
        for (name, mark) in [
            ("oneks-seed", "seed"),
            ("oneks-node", "node"),
            ("oneks-router", "router"),
        ] {
            self.add_image(name, 1, &format!("ONEKS_IMAGE=\"{mark}\""))?;
        }
        Ok(())
    }
}
