//! `oneks setup`: the hooks at OpenNebula, and the templates from which users make clusters without this command.

mod templates;

use std::path::{Path, PathBuf};

use clap::Args;
use oneks::registration::{self, Change, Definition};

use crate::app::App;
use crate::failure::Failure;

/// Register the hooks at OpenNebula, as oneadmin
///
/// Creates hooks that are missing, corrects those that differ, removes those that are not used any more. Run it as
/// oneadmin on the front-end, after each installation; what is right is left alone.
///
/// With --handle it also installs the templates "Kubernetes Cluster", for Sunstone, onetemplate and oneflow-template. Later
/// runs bring them up to date with the profiles.
///
/// Clusters go on living without hooks. A later setup takes them over as they are.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  oneks setup\n  # Let all users make clusters from Sunstone, onetemplate and oneflow\n  oneks setup --handle all\n  # Only those of one group\n  oneks setup --handle users\n  # Take all hooks of OneKS away again\n  oneks setup --remove"
)]
pub struct Setup {
    /// Remove all hooks of OneKS
    #[arg(long)]
    remove: bool,
    /// Folder of the executables, if not the installed one
    #[arg(long, value_name = "DIR")]
    hooks_dir: Option<PathBuf>,
    /// Do nothing on a front-end that follows another: the hooks are those of all front-ends
    #[arg(long)]
    only_leader: bool,
    /// Install the templates "Kubernetes Cluster" for the members of a group, for "all" users, or for "admins" only; "none"
    /// removes them
    #[arg(long, value_name = "GROUP")]
    handle: Option<String>,
    /// Driver of the clusters that are made from the templates, if not capone
    #[arg(long, value_name = "DRIVER", requires = "handle")]
    handle_driver: Option<String>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Setup {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let folder = self.folder(app)?;
        let wanted = if self.remove {
            Vec::new()
        } else {
            registration::table()?
        };
        if !self.remove {
            executables(&wanted, &folder)?;
        }
        let client = app.client()?;
        // To others OpenNebula shows no hooks, as if there were none.
        let caller = client.user_info(None, false)?;
        if caller.id != 0 && !caller.groups.contains(&0) {
            return Err(Failure::NotAllowed(format!(
                "{} may not register hooks: run this as oneadmin on the front-end",
                caller.name
            )));
        }
        if self.only_leader && !client.zone_raftstatus()?.acts() {
            return app
                .out
                .line("this front-end is not the leader; the hooks stay as they are");
        }
        let pool = client.hookpool_info()?;
        let changes = registration::compare(&wanted, &pool.items, &folder);
        for change in &changes {
            if !self.dry_run {
                change.carry_out(&client, &folder)?;
            }
            app.out.line(&describe(change, self.dry_run))?;
        }
        let unchanged = wanted.len().saturating_sub(
            changes
                .iter()
                .filter(|c| !matches!(c, Change::Delete(..)))
                .count(),
        );
        let handle = if self.remove {
            Some("none")
        } else {
            self.handle.as_deref()
        };
        templates::Templates {
            client: &client,
            caller: caller.id,
            audience: handle.map(templates::Audience::parse),
            driver: self.handle_driver.as_deref(),
            dry_run: self.dry_run,
        }
        .run(app)?;
        match (changes.is_empty(), self.remove) {
            (true, true) => app.out.line("no hooks of OneKS are registered"),
            (true, false) => app.out.line(&format!("all {unchanged} hooks are registered")),
            (false, true) => Ok(()),
            (false, false) => app
                .out
                .line(&format!("{} hooks in all, {unchanged} unchanged", wanted.len())),
        }
    }

    /// The folder of the executables, absolute: the hook manager takes other paths as relative to its own.
    fn folder(&self, app: &App) -> Result<PathBuf, Failure> {
        let folder = self.hooks_dir.clone().unwrap_or_else(|| app.layout().hooks);
        std::path::absolute(&folder).map_err(crate::failure::with_path(&folder))
    }
}

/// Refuses to register what can't be started.
fn executables(wanted: &[Definition], folder: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;

    let blank = folder
        .to_string_lossy()
        .contains(|c: char| c.is_whitespace() || "&<>|;\"'$`".contains(c));
    if blank {
        return Err(Failure::Usage(format!(
            "{}: the hook manager can't start programs in a folder with blanks or special characters in its name",
            folder.display()
        )));
    }
    for definition in wanted {
        let path = folder.join(&definition.executable);
        match std::fs::metadata(&path) {
            Ok(about) if about.is_file() && about.permissions().mode() & 0o111 != 0 => {}
            Ok(_) => return Err(Failure::Other(format!("{} is not executable", path.display()))),
            Err(e) => {
                return Err(Failure::Other(format!(
                    "{}: {e}; install OneKS first, or name the folder with --hooks-dir",
                    path.display()
                )));
            }
        }
    }
    Ok(())
}

fn describe(change: &Change, dry_run: bool) -> String {
    let would = if dry_run { "would be " } else { "" };
    match change {
        Change::Create(definition) => format!("{would}created  {}", definition.name),
        Change::Update(_, definition, what) => {
            format!("{would}updated  {} ({})", definition.name, what.join(", "))
        }
        Change::Replace(_, definition) => format!("{would}replaced {}", definition.name),
        Change::Delete(_, name) => format!("{would}removed  {name}"),
    }
}
