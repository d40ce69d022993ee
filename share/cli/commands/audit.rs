//! `oneks audit` and `oneks gc`: what was left behind, and its removal.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use oneks::execute::Executor;
use oneks_core::observed::Observed;
use oneks_core::plan::{Outcome, Teardown, absorb, teardown};
use oneks_driver::Owner;

use opennebula::Secret;

use crate::app::App;
use crate::failure::Failure;
use crate::format::{self, FormatArgs};
use crate::perspective::Perspective;
use crate::strays::{self, Stray, Why};
use crate::table::{self, Column, TableArgs};
use crate::{time, wait};

/// List objects that carry the mark or the name of a cluster that there is not
///
/// Virtual machines, virtual routers, VM templates, reserved addresses and login tokens: those of all users for
/// oneadmin, one's own for everybody else. Only oneadmin on the front-end can tell a cluster's login token from one that
/// is named like it.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  oneks audit")]
pub struct Audit {
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Remove what `oneks audit` finds of clusters that are gone
///
/// In the order in which nothing comes back, and each object as its owner. What belongs to a cluster that there is, or
/// is not clear, is left alone.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  # Look first\n  oneks gc --dry-run\n  oneks gc --yes")]
#[allow(clippy::struct_excessive_bools)] // each is an option of its own
pub struct Gc {
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// Only say what would be removed
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Use the means of last resort for machines that won't end
    #[arg(long)]
    force: bool,
    /// Stop waiting for machines to end after this time
    #[arg(long, value_name = "TIME", value_parser = time::parse_length, default_value = "5m")]
    timeout: Duration,
    /// Time between two looks
    #[arg(long, value_name = "TIME", value_parser = time::parse_length, default_value = "2s", hide = true)]
    interval: Duration,
    /// Write what would be removed as JSON
    #[arg(short, long, requires = "dry_run")]
    json: bool,
}

impl Audit {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        if self.table.describe {
            return table::describe(&mut app.out, STRAYS);
        }
        let strays = table::filter(STRAYS, &self.table, find(app)?)?;
        if self.format.any() {
            let value = serde_json::to_value(&strays).map_err(|e| Failure::Other(e.to_string()))?;
            let xml = || Ok(format!("<STRAYS>{}</STRAYS>", format::xml_of("STRAY", &value)));
            return self.format.write(&mut app.out, &value, xml);
        }
        table::show(&mut app.out, STRAYS, &self.table, &strays)
    }
}

/// Looks for strays, with the server credential if it is at hand.
fn find(app: &mut App) -> Result<Vec<Stray>, Failure> {
    let client = app.client()?;
    let caller = client.user_info(None, false)?;
    let caller = Owner {
        uid: caller.id,
        name: caller.name,
    };
    // Elsewhere than on the front-end nothing can be proved.
    let perspective = Perspective::of(app, &caller).ok().filter(|p| p.server);
    let proves = |cluster: u32, token: &Secret| {
        let number = |p: &Perspective| p.service.credential_number(cluster, token);
        perspective.as_ref().and_then(number).is_some()
    };
    strays::find(&client, app.now(), &proves)
}

impl Gc {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let mut strays = find(app)?;
        strays.retain(|s| s.why == Why::ClusterGone);
        if self.json {
            let value = serde_json::to_value(&strays).map_err(|e| Failure::Other(e.to_string()))?;
            return app.out.line(&format::pretty(&value));
        }
        if strays.is_empty() {
            app.out.note("oneks: nothing was left behind");
            return Ok(());
        }
        table::show(&mut app.out, STRAYS, &TableArgs::default(), &strays)?;
        if self.dry_run {
            return Ok(());
        }
        if !self.yes && !app.confirm("Remove all of these?")? {
            return Ok(());
        }
        let mut owners: BTreeMap<(u32, u32), Owner> = BTreeMap::new();
        for stray in &strays {
            let owner = || Owner {
                uid: stray.uid,
                name: stray.user.clone(),
            };
            owners.entry((stray.cluster, stray.uid)).or_insert_with(owner);
        }
        let parts: Vec<(u32, Owner)> = owners
            .into_iter()
            .map(|((cluster, _), owner)| (cluster, owner))
            .collect();
        super::each(app, &parts, |app, (cluster, owner)| {
            self.remove(app, *cluster, owner)
        })
    }

    /// Removes what one owner has of one cluster, by the rules by which the hooks do it.
    fn remove(&self, app: &mut App, cluster: u32, owner: &Owner) -> Result<(), Failure> {
        let perspective = Perspective::of(app, owner)?;
        let part = Teardown {
            cluster,
            owner: owner.uid,
            force: self.force,
        };
        let begin = (app.pace.elapsed)();
        let mut observed = Observed::default();
        let mut failed = Vec::new();
        loop {
            let (mut needs, mut actions) = (Vec::new(), Vec::new());
            let Some(step) = teardown(&part, &observed, &mut needs, &mut actions) else {
                break;
            };
            if !needs.is_empty() {
                for need in &needs {
                    perspective.look(&mut observed, need, cluster, None, None)?;
                }
                continue;
            }
            actions.retain(|a| observed.failure(a).is_none());
            if actions.is_empty() {
                if (app.pace.elapsed)().saturating_sub(begin) >= self.timeout || !failed.is_empty() {
                    failed.push(step);
                    break;
                }
                app.out.detail(&format!("oneks: {step}"));
                (app.pace.sleep)(self.interval.max(wait::LEAST_PAUSE));
                observed = Observed::default();
                continue;
            }
            let executor = Executor {
                service: &perspective.service,
                cluster,
                owner,
                client: &perspective.client,
                serial: 1,
            };
            for action in actions {
                let outcome = executor.execute(&action);
                match &outcome {
                    Outcome::Failed(why) => failed.push(format!("{}: {}", action.summary(), why.message)),
                    _ => app.out.line(&action.summary())?,
                }
                absorb(&mut observed, &action, outcome, owner.uid, app.now());
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        Err(Failure::Other(format!(
            "cluster {cluster}: not all of it is gone:\n  {}",
            failed.join("\n  ")
        )))
    }
}

const STRAYS: &[Column<Stray>] = &[
    Column::new("KIND", "What it is", |s: &Stray| s.kind.as_str().to_owned()),
    Column::new("ID", "Its id", |s: &Stray| s.id.to_string()).right(),
    Column::new("NAME", "Its name", |s: &Stray| s.name.clone()).least(16),
    Column::new("USER", "Its owner", |s: &Stray| s.user.clone()).least(6),
    Column::new(
        "CLUSTER",
        "The cluster that it claims to belong to",
        |s: &Stray| s.cluster.to_string(),
    )
    .right(),
    Column::new("WHY", "Why it belongs to none", |s: &Stray| {
        s.why.text().to_owned()
    })
    .wraps(),
];
