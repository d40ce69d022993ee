//! A typed, synchronous client of OpenNebula.
//!
//! - [`xmlrpc`] is the wire format, for clients and for servers that imitate one.
//! - [`template`] is OpenNebula's attribute syntax, plain and XML, with what each of them can't carry.

pub mod template;
mod xml;
pub mod xmlrpc;
