//! A typed, synchronous client of OpenNebula.
//!
//! ```no_run
//! use opennebula::{Client, calls::VmAction, endpoint::Environment, http::HttpTransport};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let environment = Environment::process();
//! let client = Client::new(HttpTransport::new(&environment.endpoint()?)?, environment.session()?);
//! let vm = client.vm_info(7, false)?;
//! if vm.is_failed() {
//!     client.vm_action(VmAction::TerminateHard, vm.id)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - [`client`] calls, [`calls`] are the methods, [`objects`] what they return, [`error`] what can go wrong.
//! - [`session`] and [`endpoint`] find out as whom to call, and where.
//! - [`transport`] is how requests travel, [`http`] the usual way.
//! - [`template`] is OpenNebula's attribute syntax, plain and XML, with what each of them can't carry.
//! - [`xmlrpc`] is the wire format, for clients and for servers that imitate one.
//!
//! Nothing here shows a secret: sessions, templates, request bodies and guest output are left out of `Debug`, of
//! errors and of the log.

pub mod calls;
pub mod client;
pub mod endpoint;
pub mod error;
pub mod http;
pub mod objects;
pub mod session;
pub mod template;
pub mod transport;
mod xml;
pub mod xmlrpc;

pub use client::Client;
pub use error::{Error, ErrorCode};
pub use objects::{Pool, Tag, Vm};
pub use session::{Secret, ServerCredential, Session};
pub use template::{Attribute, AttributeValue, Template};
pub use transport::{Transport, TransportError};
