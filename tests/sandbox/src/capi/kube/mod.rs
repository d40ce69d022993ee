//! A small Kubernetes API server: objects, what it refuses, and what it says then.

mod admission;
mod defaults;
pub mod error;
pub mod kinds;
mod names;
pub mod object;
pub mod quantity;
mod rules;
mod schema;
pub mod selector;
pub mod store;

pub use error::ApiError;
pub use object::Object;
pub use store::{FieldValidation, Key, Store};
