//! The commands, one file each.

pub mod audit;
pub mod check;
pub mod create;
pub mod delete;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod generate;
pub mod images;
pub mod kubeconfig;
pub mod list;
pub mod plan;
pub mod profile;
pub mod recover;
pub mod rename;
pub mod rights;
pub mod rotate;
pub mod scale;
pub mod setup;
pub mod show;
pub mod simulate;
pub mod update;
pub mod upgrade;

use crate::app::App;
use crate::failure::Failure;

/// Does the same with several objects: one that fails is told and does not keep the others from their turn.
pub fn each<T>(
    app: &mut App,
    items: &[T],
    mut action: impl FnMut(&mut App, &T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if let [item] = items {
        return action(app, item);
    }
    let (mut count, mut code) = (0, None);
    for item in items {
        match action(app, item) {
            Ok(()) => {}
            Err(Failure::ClosedPipe) => return Err(Failure::ClosedPipe),
            Err(failure) => {
                app.out.failure(&failure);
                count += 1;
                code = code.or(Some(failure.code()));
            }
        }
    }
    match code {
        None => Ok(()),
        Some(code) => Err(Failure::Several {
            count,
            of: items.len(),
            code,
        }),
    }
}
