//! What the executables share and what does I/O: reading events, the gate, looking, acting, writing.
//!
//! Decisions are not made here; they are in `oneks_core`. One pass is [`pass::pass`]:
//!
//! ```text
//! event ─▶ gate(cluster) ─▶ read document ─▶ look ─▶ plan ─▶ execute ─▶ write STATUS
//! ```

pub mod catalog;
pub mod clock;
pub mod config;
pub mod convert;
pub mod drivers;
pub mod event;
pub mod execute;
mod fence;
pub mod gate;
pub mod gone;
pub mod handle;
pub mod hook;
pub mod layout;
pub mod logging;
pub mod made_for;
#[cfg(feature = "command")]
pub mod manual;
pub mod notes;
pub mod observe;
pub mod orders;
pub mod owners;
pub mod pass;
pub mod registration;
pub mod service;
pub mod sweep;
pub mod zone;
