//! Looking at a cluster as the hooks do, with the hooks' own code: for `plan` and `gc`.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use oneks::config::{Config, ConfigError};
use oneks::drivers::Executables;
use oneks::layout::Layout;
use oneks::observe::Observer;
use oneks::service::Service;
use oneks_core::observed::{Credentials, Need, Observed};
use oneks_core::spec::Spec;
use oneks_core::status::{RotationStage, Status};
use oneks_driver::Owner;
use opennebula::Client;

use crate::app::App;
use crate::failure::Failure;

/// A server credential that is none: who has no real one can't act as others, and can't compute credentials.
const NOBODY: &str = "nobody:none";

/// The view of somebody on the objects of an owner.
pub struct Perspective {
    /// The hooks' means.
    pub service: Service,
    /// OpenNebula as the owner of the objects.
    pub client: Client,
    /// The owner.
    pub owner: Owner,
    /// Is the server credential at hand, as for the hooks?
    pub server: bool,
}

/// Refuses where the profiles and drivers of the front-end can't be read: everything would seem to be refused.
///
/// # Errors
/// The folder that can't be read.
pub fn installed(layout: &Layout) -> Result<(), Failure> {
    let missing = |folder: &Path, what: &str, reason: &dyn Display| {
        Failure::Other(format!(
            "{}: {reason}; this needs the {what} of the front-end",
            folder.display()
        ))
    };
    if let Some(folder) = oneks::catalog::hidden(&layout.profiles) {
        return Err(missing(folder, "profiles", &"you may not read it"));
    }
    let shipped = layout
        .profiles
        .last()
        .filter(|_| layout.profiles.iter().all(|f| !f.is_dir()));
    if let Some(folder) = shipped {
        return Err(missing(folder, "profiles", &"there is no such folder"));
    }
    std::fs::read_dir(&layout.drivers).map_err(|e| missing(&layout.drivers, "drivers", &e))?;
    Ok(())
}

impl Perspective {
    /// The view on the objects of `owner`: as the owner, or as oneadmin on the front-end, who can act as the owner.
    ///
    /// # Errors
    /// The caller is somebody else, or the configuration can't be read.
    pub fn of(app: &mut App, owner: &Owner) -> Result<Self, Failure> {
        let connection = app.connection()?;
        let caller = connection.client().user_info(None, false)?;
        let layout = app.layout();
        let config = match Config::load(&layout.config) {
            Ok(config) => config,
            // Ordinary users may not read it; what they need of it is as good by default.
            Err(ConfigError::Read { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
                Config::default()
            }
            Err(e) => return Err(Failure::Other(e.to_string())),
        };
        let credential = if config.server_auth.as_os_str().is_empty() {
            app.environment.var_lib().join(".one/oneks_auth")
        } else {
            config.server_auth.clone()
        };
        let drivers = Executables::new(&layout.drivers, Duration::from_secs(config.driver_timeout));
        let credential = std::fs::read_to_string(&credential)
            .ok()
            .filter(|_| caller.id == 0);
        if caller.id != owner.uid && credential.is_none() {
            return Err(Failure::NotAllowed(format!(
                "this can be seen by {}, the owner, or by oneadmin on the front-end, who has the server credential",
                owner.name
            )));
        }
        let text = credential.as_deref().unwrap_or(NOBODY);
        let (transport, session) = (connection.transport.clone(), connection.session.clone());
        let mut service = Service::new(config, &layout, Box::new(drivers), transport, session, text)
            .map_err(|e| Failure::Other(format!("{e:#}")))?;
        if let Some(profiles) = &app.profiles {
            service.profiles = vec![profiles.clone()];
        }
        let server = credential.is_some();
        let client = if caller.id == owner.uid {
            connection.client()
        } else {
            service.owner(owner, app.now())
        };
        Ok(Self {
            service,
            client,
            owner: owner.clone(),
            server,
        })
    }

    /// Satisfies one need of a plan, as the hooks do.
    ///
    /// # Errors
    /// A call.
    pub fn look(
        &self,
        observed: &mut Observed,
        need: &Need,
        cluster: u32,
        spec: Option<&Spec>,
        status: Option<&Status>,
    ) -> Result<(), Failure> {
        if *need == Need::Credentials && !self.server {
            // Only the hooks can tell; what STATUS notes is taken for true.
            observed.credentials = Some(status.map(noted_credentials).unwrap_or_default());
            return Ok(());
        }
        let eyes = Observer {
            service: &self.service,
            cluster,
            owner: &self.owner,
            client: self.client.clone(),
            spec,
            user: std::cell::OnceCell::new(),
        };
        eyes.look(observed, need).map_err(|e| {
            if *need == Need::Cloud && e.is_authorization() {
                Failure::NotAllowed(
                    "whether the placement is possible can only be found out by the hooks: it takes rights that \
                     ordinary users don't have. `oneks explain` shows what they found"
                        .to_owned(),
                )
            } else {
                e.into()
            }
        })
    }
}

/// The credentials that there must be by what STATUS says: until a rotation has ended, the one before is valid too.
fn noted_credentials(status: &Status) -> Credentials {
    let mut noted = Credentials::default();
    let Some(credential) = &status.credential else {
        return noted;
    };
    let replaces = status
        .rotation
        .as_ref()
        .is_some_and(|r| r.stage != RotationStage::Make);
    if replaces && credential.serial > 1 {
        noted.own.insert(credential.serial - 1, None);
    }
    noted.own.insert(credential.serial, credential.expires);
    noted
}
