//! What a hook needs to act: connections, the gate, the drivers, the profiles.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hmac::{Hmac, KeyInit, Mac};
use oneks_driver::Owner;
use opennebula::client::Client;
use opennebula::endpoint::Environment;
use opennebula::http::HttpTransport;
use opennebula::session::{Secret, ServerCredential};
use opennebula::transport::Transport;
use sha2::Sha256;

use crate::config::Config;
use crate::drivers::{Drivers, Executables};
use crate::gate::Gate;
use crate::layout::Layout;
use crate::made_for;
use crate::owners::Owners;
use crate::zone::Zone;

/// Everything that acts on clusters, made once per process.
pub struct Service {
    /// The settings.
    pub config: Config,
    /// Locks and marks.
    pub gate: Gate,
    /// Whose clusters there are.
    pub owners: Owners,
    /// Who answers a driver's questions.
    pub drivers: Box<dyn Drivers>,
    /// Folders of the profiles, the first that has a family decides.
    pub profiles: Vec<PathBuf>,
    /// OpenNebula as oneadmin: documents, and what only administrators may read.
    pub admin: Client,
    /// Are there other front-ends?
    pub zone: Zone,
    /// What nobody else calls itself: the mark in a claim, see [`crate::zone`].
    pub actor: String,
    server: ServerCredential,
    key: Secret,
}

impl Service {
    /// The service of the installation that the environment names.
    ///
    /// # Errors
    /// A file that is missing or can't be understood, by name.
    pub fn open(environment: &Environment, layout: &Layout) -> anyhow::Result<Self> {
        let config = Config::load(&layout.config)?;
        let endpoint = if config.one_xmlrpc.is_empty() {
            environment.endpoint()?
        } else {
            config.one_xmlrpc.clone()
        };
        let session = environment.session()?;
        let path = (!config.server_auth.as_os_str().is_empty()).then_some(config.server_auth.as_path());
        let path = path.map_or_else(
            || environment.var_lib().join(".one/oneks_auth"),
            std::path::Path::to_owned,
        );
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("the server credential {} can't be read", path.display()))?;
        let transport = Arc::new(HttpTransport::new(&endpoint)?);
        let drivers = Executables::new(&layout.drivers, Duration::from_secs(config.driver_timeout));
        let mut service = Self::new(config, layout, Box::new(drivers), transport, session, &text)
            .with_context(|| format!("the server credential {}", path.display()))?;
        service.zone = Zone::read(&layout.oned);
        let random = RandomState::new().build_hasher().finish();
        service.actor = format!("{}-{random:016x}", std::process::id());
        Ok(service)
    }

    /// A service on any transport, on a front-end that is alone.
    ///
    /// # Errors
    /// The server credential is not `user:password`.
    pub fn new(
        config: Config,
        layout: &Layout,
        drivers: Box<dyn Drivers>,
        transport: Arc<dyn Transport>,
        admin: opennebula::session::Session,
        server: &str,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            config,
            gate: Gate::new(&layout.locks),
            owners: Owners::new(&layout.locks),
            drivers,
            profiles: layout.profiles.clone(),
            admin: Client::new(transport, admin),
            zone: Zone::Alone,
            actor: String::new(),
            server: ServerCredential::parse(server)?,
            key: Secret::new(server.trim()),
        })
    }

    /// Is this the front-end that acts? Of several, only the leader does; one that is alone needn't ask.
    ///
    /// # Errors
    /// OpenNebula can't be reached.
    pub fn acts(&self) -> Result<bool, opennebula::error::Error> {
        match self.zone {
            Zone::Alone => Ok(true),
            Zone::Several => self.admin.zone_raftstatus().map(|status| status.acts()),
        }
    }

    /// OpenNebula as a cluster's owner: oned itself then enforces rights and quotas.
    pub fn owner(&self, owner: &Owner, now: u64) -> Client {
        if owner.uid == 0 {
            // A delegated session of oneadmin may not make login tokens, and would have no fewer rights.
            return self.admin.clone();
        }
        // oned reads the clock of the machine, which is not the one that tests turn.
        let clock = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(now, |d| d.as_secs())
            .max(now);
        let expiry = clock.saturating_add(self.config.session_seconds);
        self.admin
            .with_session(self.server.session_for(&owner.name, None, expiry))
    }

    /// The cluster's own credential with this number: always the same text, so that making it twice makes one, and
    /// that it need not be stored. Only who has the server credential can compute it.
    ///
    /// It begins with the cluster's id and its number, so that its owner can tell it from others.
    pub fn credential(&self, cluster: u32, serial: u32) -> Secret {
        let label = format!("oneks credential {cluster} {serial}");
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes()) else {
            return Secret::new(String::new());
        };
        mac.update(label.as_bytes());
        let mut token = prefix(cluster);
        let _ = write!(token, "{serial}-");
        for byte in mac.finalize().into_bytes() {
            let _ = write!(token, "{byte:02x}");
        }
        Secret::new(token)
    }

    /// The proof that a cluster's objects are made for this user, see [`made_for`].
    pub fn made_for(&self, cluster: u32, uid: u32) -> String {
        made_for::proof(self.key.expose().as_bytes(), cluster, uid)
    }

    /// The proof that this VM is the handle of this cluster. Only who has the server credential can make it.
    pub fn handle_proof(&self, cluster: u32, vm: u32) -> String {
        made_for::mac(
            self.key.expose().as_bytes(),
            &format!("oneks handle {cluster} {vm}"),
        )
    }

    /// The proof that a VM was made to replace this handle of this cluster.
    pub fn successor_proof(&self, cluster: u32, old: u32) -> String {
        made_for::mac(
            self.key.expose().as_bytes(),
            &format!("oneks successor {cluster} {old}"),
        )
    }

    /// The number of a login token, if it is one of the cluster's credentials.
    pub fn credential_number(&self, cluster: u32, token: &Secret) -> Option<u32> {
        let (serial, _) = token.expose().strip_prefix(&prefix(cluster))?.split_once('-')?;
        let serial = serial.parse().ok()?;
        (self.credential(cluster, serial) == *token).then_some(serial)
    }
}

/// How a cluster's credentials begin.
fn prefix(cluster: u32) -> String {
    format!("{}-", oneks_core::names::Names::new(cluster).cluster())
}
