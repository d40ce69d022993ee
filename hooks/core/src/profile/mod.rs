//! Profiles: what an administrator offers to users.
//!
//! A *family* is a folder with one YAML file and template texts; a *flavour* is a preset of its inputs:
//!
//! ```text
//! controlplanes/general/controlplane.conf      nodegroups/general/nodegroup.conf
//! controlplanes/general/manifest.yaml.j2       nodegroups/general/manifest.yaml.j2
//! ```
//!
//! Nothing here reads files: [`Catalog::parse`] gets their texts, [`Family::resolve`] turns what a user asked for into
//! the values of all inputs, or into everything that is wrong with it.

mod family;
mod file;
mod input;
mod parse;
mod resolve;

pub use family::{
    Catalog, Dependency, DependencyKind, DependencyOptions, Family, Flavour, ImageMark, ProfileError,
    UnknownFamily,
};
pub use input::{InputMatch, InputType, Number, NumberRange, UserInput};
