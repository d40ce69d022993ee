//! OpenNebula's objects, as far as they matter here. Unknown elements are skipped, order does not matter.
//!
//! A number that is missing or wrong makes an object unreadable where decisions hang on it (ids, owner, state);
//! elsewhere it reads as absent.

mod acl;
mod cluster;
mod datastore;
mod document;
mod group;
mod guest_exec;
mod hook;
mod host;
mod image;
mod market_app;
mod permissions;
mod pool;
mod quota;
mod raft;
mod read;
mod state;
mod tag;
mod user;
mod vm;
mod vm_group;
mod vm_outline;
mod vm_template;
mod vnet;
mod vrouter;

pub use acl::{Acl, Resource, Right};
pub use cluster::Cluster;
pub use datastore::{Datastore, DatastoreType};
pub use document::Document;
pub use group::Group;
pub use guest_exec::{GuestExec, GuestExecStatus};
pub use hook::{Hook, HookExecution};
pub use host::{Host, HostState};
pub use image::{Image, ImageState, ImageType};
pub use market_app::MarketApp;
pub use permissions::{Access, Lock, Permissions};
pub use pool::Pool;
pub use quota::{DatastoreQuota, ImageQuota, Limit, NetworkQuota, Quota, Quotas, VmQuota};
pub use raft::{RaftState, RaftStatus};
pub use read::ObjectError;
pub use state::{LcmState, VmState};
pub use tag::Tag;
pub use user::{LoginToken, User};
pub use vm::{History, Nic, Vm};
pub use vm_group::{VmGroup, VmGroupRole};
pub use vm_outline::VmOutline;
pub use vm_template::VmTemplate;
pub use vnet::{AddressRange, Lease, Vnet, VnetState};
pub use vrouter::{Vrouter, VrouterNic};

pub(crate) use pool::read_pool;
pub(crate) use read::Element;

use read::from_xml;

from_xml!(
    Acl,
    Cluster,
    Datastore,
    Document,
    Group,
    Hook,
    HookExecution,
    Host,
    Image,
    MarketApp,
    RaftStatus,
    User,
    Vm,
    VmGroup,
    VmTemplate,
    Vnet,
    Vrouter,
);
