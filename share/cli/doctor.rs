//! What commonly goes wrong with an installation: facts, and what each of them means.
//!
//! Facts are gathered in `facts.rs`, by calls and looks at files. What they mean is decided here and in the modules
//! below by pure functions, one for each check.

mod cloud;
mod facts;
mod machine;

use clap::builder::styling::Style;
use serde::Serialize;

use crate::table::Column;
use crate::verdict::Verdict;

pub use facts::{Asked, Facts};

/// Something that is known, or why it is not.
pub type Fact<T> = Result<T, String>;

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// Why it matters.
    pub why: &'static str,
    /// The command, or the lines of a file, that mend it.
    pub mend: Option<String>,
}

/// A check under way: its name and why it matters.
#[derive(Clone, Copy)]
struct Check(&'static str, &'static str);

impl Check {
    fn finding(self, verdict: Verdict, found: impl Into<String>, mend: Option<String>) -> Finding {
        Finding {
            check: self.0,
            verdict,
            found: found.into(),
            why: self.1,
            mend,
        }
    }

    fn ok(self, found: impl Into<String>) -> Finding {
        self.finding(Verdict::Ok, found, None)
    }

    fn unknown(self, reason: impl Into<String>) -> Finding {
        self.finding(Verdict::Unknown, reason, None)
    }

    fn warning(self, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        self.finding(Verdict::Warning, found, Some(mend.into()))
    }

    fn failed(self, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        self.finding(Verdict::Failed, found, Some(mend.into()))
    }
}

/// All checks, in the order in which things are set up.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        cloud::version(&facts.version),
        cloud::role(&facts.raft, &facts.oned),
        machine::configuration(&facts.configuration),
        machine::credential(&facts.credential, &facts.service_uid, &facts.delegation),
        machine::files(&facts.files, &facts.service_uid),
        machine::drivers(&facts.drivers),
        machine::profiles(&facts.profile_errors, facts.families),
        cloud::hooks(&facts.hooks, &facts.hooks_folder),
        cloud::hook_manager(&facts.hook_manager, &facts.executions, facts.now),
        cloud::hook_failures(&facts.failures),
        cloud::hook_log(&facts.oned),
        machine::sweep(&facts.timer, &facts.swept, facts.now),
        cloud::onegate(&facts.oned, &facts.onegate),
        machine::tproxy(&facts.tproxy, &facts.xmlrpc_tproxy),
        machine::clock(&facts.clock),
        cloud::kubeconfig(&facts.oned),
        cloud::manifest(&facts.oned),
    ];
    findings.extend(cloud::images(&facts.images));
    findings.extend(cloud::rights(&facts.rights));
    findings
}

/// The table of findings.
pub const FINDINGS: &[Column<Finding>] = &[
    Column::new("CHECK", "What was looked at", |f: &Finding| f.check.to_owned()),
    Column::new("VERDICT", "What came of it", |f: &Finding| {
        f.verdict.as_str().to_owned()
    })
    .style(style),
    Column::new("FOUND", "What was found", |f: &Finding| f.found.clone()).wraps(),
];

fn style(finding: &Finding) -> Style {
    crate::verdict::style(finding.verdict)
}
