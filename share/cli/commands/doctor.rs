//! `oneks doctor`.

use clap::Args;

use crate::app::App;
use crate::doctor::{self, Asked, FINDINGS, Facts, Finding};
use crate::failure::Failure;
use crate::format;
use crate::table::{self, TableArgs};
use crate::verdict::Verdict;

/// Look for everything that commonly goes wrong with an installation
///
/// Run it as oneadmin on the front-end; others are told what they can't see. For each check: what was found, and where
/// it is not well, why it matters and what mends it. Nothing is changed.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  oneks doctor\n  # May alice create clusters?\n  oneks doctor --for-user alice\n  # For monitoring: the exit code tells the worst\n  oneks doctor --json"
)]
pub struct Doctor {
    /// Look at the rights of this user
    #[arg(long, value_name = "USER", conflicts_with = "for_group")]
    for_user: Option<String>,
    /// Look at the rights of this group; of all groups unless given
    #[arg(long, value_name = "GROUP")]
    for_group: Option<String>,
    /// Write JSON
    #[arg(short, long)]
    json: bool,
}

impl Doctor {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let asked = match (&self.for_user, &self.for_group) {
            (Some(user), _) => Asked::User(user.clone()),
            (None, Some(group)) => Asked::Group(group.clone()),
            (None, None) => Asked::All,
        };
        let findings = doctor::examine(&Facts::gather(app, &asked)?);
        if self.json {
            let value = serde_json::to_value(&findings).map_err(|e| Failure::Other(e.to_string()))?;
            app.out.line(&format::pretty(&value))?;
        } else {
            table::show(&mut app.out, FINDINGS, &TableArgs::default(), &findings)?;
            for finding in findings.iter().filter(|f| f.verdict > Verdict::Unknown) {
                explain(app, finding)?;
            }
        }
        verdict(&findings)
    }
}

fn explain(app: &mut App, finding: &Finding) -> Result<(), Failure> {
    app.out.line(&format!("\n{}: {}", finding.check, finding.why))?;
    if let Some(mend) = &finding.mend {
        for line in mend.lines() {
            app.out.line(&format!("    {line}"))?;
        }
    }
    Ok(())
}

fn verdict(findings: &[Finding]) -> Result<(), Failure> {
    let count = |verdict: Verdict| findings.iter().filter(|f| f.verdict == verdict).count();
    match (
        count(Verdict::Failed),
        count(Verdict::Warning),
        count(Verdict::Unknown),
    ) {
        (0, 0, 0) => Ok(()),
        (0, 0, unknown) => Err(Failure::Unknown(format!("{unknown} checks could not be made"))),
        (0, warnings, _) => Err(Failure::Warnings(format!("{warnings} warnings"))),
        (failed, _, _) => Err(Failure::Refused(format!("{failed} checks failed"))),
    }
}
