//! Keeps a pass that was overtaken from doing harm, where several front-ends share a zone.
//!
//! The gate keeps passes apart on one machine. After a fail-over the new leader may begin a pass while the old leader's
//! last one still runs, or wakes up after having been stopped for a while. OpenNebula has no conditional write, so:
//!
//! 1. Before its first creation a pass *claims* the cluster: it writes STATUS with the next `rev` and a mark of its own,
//!    reads it back, and looks at everything again. What an earlier pass made is seen from then on.
//! 2. Before each action and before it writes STATUS, a pass reads the document. If `rev` or the claim is not the one
//!    it left, another pass has taken over, and this one ends at once.
//!
//! What remains is the one call that is on its way at that moment. Names are deterministic, so that the next look finds
//! what it made. A front-end that is alone needs none of this and makes no call for it.

use oneks_core::status::Status;
use opennebula::calls::UpdateMode;
use opennebula::error::Error;

use crate::execute::status_text;
use crate::service::Service;
use crate::zone::Zone;

/// The fence around one pass.
pub(crate) struct Fence<'a> {
    service: &'a Service,
    cluster: u32,
    /// What STATUS must still say.
    rev: u64,
    claim: Option<String>,
    claimed: bool,
}

/// What a look at the document shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The pass may go on.
    Ours,
    /// Another pass has written meanwhile.
    Overtaken,
    /// The document is gone; its event cleans up.
    Gone,
}

impl<'a> Fence<'a> {
    /// The fence of a pass that found this revision and claim in the cluster's document: 0 and none if its STATUS could
    /// not be read.
    pub fn new(service: &'a Service, cluster: u32, rev: u64, claim: Option<String>) -> Self {
        Self {
            service,
            cluster,
            rev,
            claim,
            claimed: service.zone == Zone::Alone,
        }
    }

    /// May the pass create things? Not before it has claimed the cluster.
    pub fn is_claimed(&self) -> bool {
        self.claimed
    }

    /// Claims the cluster. `status` is what the pass read, and is written with the claim.
    ///
    /// # Errors
    /// OpenNebula can't be reached.
    pub fn claim(&mut self, status: &mut Status, forget_kubeconfig: bool) -> Result<Standing, Error> {
        let standing = self.look()?;
        if standing != Standing::Ours {
            return Ok(standing);
        }
        status.rev = status.rev.saturating_add(1);
        status.claim = Some(self.service.actor.clone());
        let text = status_text(status, None, forget_kubeconfig);
        let admin = &self.service.admin;
        match admin.document_update(self.cluster, &text, UpdateMode::Merge) {
            Err(e) if e.is_not_found() => return Ok(Standing::Gone),
            result => result?,
        }
        (self.rev, self.claim, self.claimed) = (status.rev, status.claim.clone(), true);
        // Two may have written; the later one has it.
        self.look()
    }

    /// The pass has written this status itself.
    pub fn wrote(&mut self, status: &Status) {
        (self.rev, self.claim) = (status.rev, status.claim.clone());
    }

    /// Is the cluster still this pass's?
    ///
    /// # Errors
    /// OpenNebula can't be reached.
    pub fn look(&self) -> Result<Standing, Error> {
        if self.service.zone == Zone::Alone {
            return Ok(Standing::Ours);
        }
        let document = match self.service.admin.document_info(self.cluster, false) {
            Ok(document) => document,
            Err(e) if e.is_not_found() => return Ok(Standing::Gone),
            Err(e) => return Err(e),
        };
        // A STATUS that was erased or broken meanwhile is nobody's claim: the next pass rebuilds it.
        let (rev, claim) = Status::parse(document.template.get("STATUS"), self.cluster)
            .map_or((0, None), |status| (status.rev, status.claim));
        if (rev, claim) == (self.rev, self.claim.clone()) {
            Ok(Standing::Ours)
        } else {
            Ok(Standing::Overtaken)
        }
    }
}
