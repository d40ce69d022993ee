//! The plan: whatever the document, the status and the cloud look like, it is made and comes to an end.

use oneks_core::action::Action;
use oneks_core::observed::Observed;
use oneks_core::plan::{Desired, Outcome, absorb, plan};
use oneks_core::status::{Status, Unusable};
use oneks_driver::Owner;

use crate::cursor::Cursor;

// The drivers that the core's own tests use.
#[allow(dead_code, unreachable_pub)]
#[path = "../../../hooks/core/tests/plan/driver.rs"]
mod driver;

mod world;

use driver::Kind;
use world::World;

/// The document.
const ID: u32 = 24;

/// Its owner.
const OWNER: u32 = 3;

/// Most rounds of looking and acting. The engine allows 200.
const ROUNDS: usize = 150;

/// Passes that follow each other, and the seconds between them.
const PASSES: [u64; 3] = [0, 60, 4000];

/// SPEC, STATUS, RECOVER and after a line break ROTATE, DELETE, and what drivers answer, each ended by a NUL; then choices
/// for the picture of the cloud.
pub(crate) fn life(data: &[u8]) {
    let mut parts = Cursor::new(data);
    let texts: [String; 5] = std::array::from_fn(|_| parts.text());
    let [spec, text, recover, delete, answers] = &texts;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (recover, rotate) = recover.split_once('\n').unwrap_or((recover, ""));
    let (spec, delete) = (some(spec), some(delete));
    let (recover, rotate) = (some(recover), some(rotate));
    let desired = Desired {
        document: ID,
        name: "n",
        owner: Owner {
            uid: OWNER,
            name: "o".to_owned(),
        },
        spec: spec.as_deref(),
        recover: recover.as_deref(),
        rotate: rotate.as_deref(),
        delete: delete.as_deref(),
    };
    // A status that can't be is rebuilt; but whoever hands one over gets a plan all the same.
    if let Ok(status) = serde_json::from_str::<Status>(text) {
        let _ = plan(&desired, &status, &Observed::default(), 1_000_000);
    }
    let mut status = match Status::parse(Some(text), ID) {
        Ok(status) => status,
        Err(Unusable::Rebuild(_) | Unusable::Clone { .. }) => Status::new(ID),
        Err(Unusable::Schema(_)) => return,
    };
    let guest = status
        .placed
        .as_ref()
        .map_or(parts.byte().is_multiple_of(2), |p| p.capabilities.guest);
    let mut world = World::new(
        match (guest, parts.byte() % 2) {
            (true, 0) => Kind::Guest,
            (true, _) => Kind::Routed,
            (false, _) => Kind::Plain,
        },
        serde_json::from_str(answers).unwrap_or_default(),
        &mut parts,
    );
    let mut now = parts.choose(&[1_000_000, 0, u64::MAX - 10, 1_000_000_000]);
    for pause in PASSES {
        now = now.saturating_add(pause);
        match pass(&mut world, &desired, status, now) {
            Some(next) => status = next,
            None => return,
        }
        let length = status.to_json().len();
        assert!(
            length <= 60_000 + 20 * data.len(),
            "STATUS has grown to {length} bytes"
        );
    }
}

/// One pass as the engine makes it, with everything checked that a plan promises. `None` once the document is gone.
fn pass(world: &mut World, desired: &Desired<'_>, mut status: Status, now: u64) -> Option<Status> {
    let ids = status.vm_ids();
    let mut observed = Observed {
        vms: world
            .vms
            .iter()
            .filter(|vm| ids.contains(&vm.id))
            .cloned()
            .collect(),
        looked_for: ids,
        ..Observed::default()
    };
    let mut trail = Vec::new();
    for _ in 0..ROUNDS {
        let next = plan(desired, &status, &observed, now);
        if !next.needs.is_empty() {
            assert!(next.actions.is_empty() && next.status == status);
            for need in &next.needs {
                world.look(&mut observed, need);
            }
            continue;
        }
        status = next.status;
        let written = status.to_json();
        assert_eq!(
            Status::parse(Some(&written), ID).as_ref(),
            Ok(&status),
            "{written}"
        );
        if next.actions.is_empty() {
            let again = plan(desired, &status, &observed, now);
            assert!(
                again.needs.is_empty() && again.actions.is_empty(),
                "not a fixed point"
            );
            assert!(
                again.status.same_as(&status),
                "{written}\n{}",
                again.status.to_json()
            );
            return Some(status);
        }
        for action in &next.actions {
            trail.push(action.summary());
            let outcome = world.execute(action);
            if *action == Action::DeleteDocument && outcome == Outcome::Done {
                return None;
            }
            absorb(&mut observed, action, outcome, OWNER, now);
        }
    }
    let last = &trail[trail.len().saturating_sub(9)..];
    panic!("the plan goes round in circles: {last:?}");
}
