//! OpenNebula's methods, one file for each kind of object, and the words that their parameters are made of.

mod cluster;
mod datastore;
mod document;
mod group;
mod hook;
mod host;
mod image;
mod market_app;
mod system;
mod template;
mod user;
mod vm;
mod vm_group;
mod vn;
mod vrouter;
mod whole;

pub use user::TokenLifetime;
pub use vm::{RecoverOperation, VmAction, VmStateFilter};

use crate::xmlrpc::Value;

/// What an update does with the attributes that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// The new template replaces all of the old one.
    Replace,
    /// Each attribute in the new template replaces all attributes of its name, an empty vector removes them.
    Merge,
}

/// The objects in a pool that are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolFilter {
    /// Those of the caller's primary group.
    PrimaryGroup,
    /// The caller's.
    Mine,
    /// All that the caller may see.
    All,
    /// The caller's and those of the caller's groups.
    MineAndGroups,
    /// A user's.
    User(u32),
}

/// A range of ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolRange {
    /// The first id, `None` for no bound.
    pub start: Option<u32>,
    /// The last id, `None` for no bound.
    pub end: Option<u32>,
}

/// What a lock forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockLevel {
    /// USE and more.
    Use,
    /// MANAGE and ADMIN: the object can be looked at.
    Manage,
    /// ADMIN. All that matters to an owner still works, so that it can serve as a mark between programs.
    Admin,
    /// The same as [`Use`](Self::Use).
    All,
}

/// New permission bits; `None` leaves a bit as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PermissionChange {
    /// For the owner.
    pub owner: AccessChange,
    /// For the members of the group.
    pub group: AccessChange,
    /// For everybody else.
    pub other: AccessChange,
}

/// Three new permission bits; `None` leaves a bit as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessChange {
    /// USE.
    pub r#use: Option<bool>,
    /// MANAGE.
    pub manage: Option<bool>,
    /// ADMIN.
    pub admin: Option<bool>,
}

impl From<UpdateMode> for Value {
    fn from(mode: UpdateMode) -> Self {
        Self::Int(match mode {
            UpdateMode::Replace => 0,
            UpdateMode::Merge => 1,
        })
    }
}

impl From<PoolFilter> for Value {
    fn from(filter: PoolFilter) -> Self {
        Self::Int(match filter {
            PoolFilter::PrimaryGroup => -4,
            PoolFilter::Mine => -3,
            PoolFilter::All => -2,
            PoolFilter::MineAndGroups => -1,
            PoolFilter::User(id) => id.into(),
        })
    }
}

impl From<LockLevel> for Value {
    fn from(level: LockLevel) -> Self {
        Self::Int(match level {
            LockLevel::Use => 1,
            LockLevel::Manage => 2,
            LockLevel::Admin => 3,
            LockLevel::All => 4,
        })
    }
}

/// An id, or -1 for none.
fn id_or_none(id: Option<u32>) -> Value {
    Value::Int(id.map_or(-1, i64::from))
}

/// Filter and range, as most pools take them.
fn listing(filter: PoolFilter, range: PoolRange) -> Vec<Value> {
    vec![filter.into(), id_or_none(range.start), id_or_none(range.end)]
}

/// Id and the nine bits, as all `chmod` take them.
fn chmod(id: u32, change: PermissionChange) -> Vec<Value> {
    let bits = [change.owner, change.group, change.other]
        .into_iter()
        .flat_map(|a| [a.r#use, a.manage, a.admin]);
    let bits = bits.map(|bit| Value::Int(bit.map_or(-1, i64::from)));
    std::iter::once(id.into()).chain(bits).collect()
}
