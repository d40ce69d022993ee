//! What all objects have in common: kind, owner, permission bits, lock.

use crate::xml::Xml;

/// The kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Virtual machine.
    Vm,
    /// Host.
    Host,
    /// Virtual network.
    Net,
    /// Image.
    Image,
    /// User.
    User,
    /// VM template.
    Template,
    /// Group.
    Group,
    /// Datastore.
    Datastore,
    /// Cluster.
    Cluster,
    /// Document.
    Document,
    /// Zone.
    Zone,
    /// Security group.
    SecGroup,
    /// Virtual data centre.
    Vdc,
    /// Virtual router.
    VRouter,
    /// Marketplace.
    Marketplace,
    /// Appliance of a marketplace.
    MarketplaceApp,
    /// VM group.
    VmGroup,
    /// Virtual network template.
    VnTemplate,
    /// Hook.
    Hook,
    /// Backup job.
    BackupJob,
    /// Access rule.
    Acl,
    /// Scheduled action.
    ScheduledAction,
}

impl ObjectKind {
    /// All kinds that access rules know, in the order of their bits.
    pub(crate) const IN_RULES: [ObjectKind; 18] = [
        Self::Vm,
        Self::Host,
        Self::Net,
        Self::Image,
        Self::User,
        Self::Template,
        Self::Group,
        Self::Datastore,
        Self::Cluster,
        Self::Document,
        Self::Zone,
        Self::SecGroup,
        Self::Vdc,
        Self::VRouter,
        Self::Marketplace,
        Self::MarketplaceApp,
        Self::VmGroup,
        Self::VnTemplate,
    ];

    /// The name in rules and in messages about rights.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vm => "VM",
            Self::Host => "HOST",
            Self::Net => "NET",
            Self::Image => "IMAGE",
            Self::User => "USER",
            Self::Template => "TEMPLATE",
            Self::Group => "GROUP",
            Self::Datastore => "DATASTORE",
            Self::Cluster => "CLUSTER",
            Self::Document => "DOCUMENT",
            Self::Zone => "ZONE",
            Self::SecGroup => "SECGROUP",
            Self::Vdc => "VDC",
            Self::VRouter => "VROUTER",
            Self::Marketplace => "MARKETPLACE",
            Self::MarketplaceApp => "MARKETPLACEAPP",
            Self::VmGroup => "VMGROUP",
            Self::VnTemplate => "VNTEMPLATE",
            Self::Hook => "HOOK",
            Self::BackupJob => "BACKUPJOB",
            Self::Acl => "ACL",
            Self::ScheduledAction => "SCHEDULEDACTION",
        }
    }

    /// The name in other messages.
    pub fn title(self) -> &'static str {
        match self {
            Self::Vm => "virtual machine",
            Self::Host => "host",
            Self::Net => "virtual network",
            Self::Image => "image",
            Self::User => "user",
            Self::Template => "virtual machine template",
            Self::Group => "group",
            Self::Datastore => "datastore",
            Self::Cluster => "cluster",
            Self::Document => "document",
            Self::Zone => "zone",
            Self::SecGroup => "security group",
            Self::Vdc => "VDC",
            Self::VRouter => "virtual router",
            Self::Marketplace => "marketplace",
            Self::MarketplaceApp => "marketplaceapp",
            Self::VmGroup => "vm group",
            Self::VnTemplate => "virtual network template",
            Self::Hook => "hook",
            Self::BackupJob => "backup job",
            Self::Acl => "ACL",
            Self::ScheduledAction => "scheduled action",
        }
    }

    /// The bit in rules, or 0 for what rules don't know.
    pub(crate) fn bit(self) -> u64 {
        match self {
            Self::Vm => 1 << 36,
            Self::Host => 1 << 37,
            Self::Net => 1 << 38,
            Self::Image => 1 << 39,
            Self::User => 1 << 40,
            Self::Template => 1 << 41,
            Self::Group => 1 << 42,
            Self::Datastore => 1 << 44,
            Self::Cluster => 1 << 45,
            Self::Document => 1 << 46,
            Self::Zone => 1 << 47,
            Self::SecGroup => 1 << 48,
            Self::Vdc => 1 << 49,
            Self::VRouter => 1 << 50,
            Self::Marketplace => 1 << 51,
            Self::MarketplaceApp => 1 << 52,
            Self::VmGroup => 1 << 53,
            Self::VnTemplate => 1 << 54,
            Self::Hook => 1 << 55,
            Self::BackupJob => 1 << 56,
            Self::Acl | Self::ScheduledAction => 0,
        }
    }

    /// Whether a name may be used once per owner only.
    pub(crate) fn has_unique_names(self) -> bool {
        !matches!(self, Self::Vm | Self::Document | Self::VRouter)
    }
}

/// What a call does to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Use,
    UseNoLock,
    Manage,
    ManageNoLock,
    Admin,
    Create,
}

impl Operation {
    /// The bit in rules.
    pub(crate) fn right(self) -> u8 {
        match self {
            Self::Use | Self::UseNoLock => 1,
            Self::Manage | Self::ManageNoLock => 2,
            Self::Admin => 4,
            Self::Create => 8,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Use | Self::UseNoLock => "USE",
            Self::Manage | Self::ManageNoLock => "MANAGE",
            Self::Admin => "ADMIN",
            Self::Create => "CREATE",
        }
    }

    /// Whether a lock can forbid it.
    pub(crate) fn is_lockable(self) -> bool {
        !matches!(self, Self::UseNoLock | Self::ManageNoLock)
    }
}

/// Nine bits: use, manage, admin for the owner, the group and others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions(pub [bool; 9]);

const PERMISSION_NAMES: [&str; 9] = [
    "OWNER_U", "OWNER_M", "OWNER_A", "GROUP_U", "GROUP_M", "GROUP_A", "OTHER_U", "OTHER_M", "OTHER_A",
];

impl Permissions {
    /// What a umask such as 0o177 leaves of use and manage.
    pub(crate) fn from_umask(umask: u32) -> Self {
        let bits = 0o666 & !umask;
        Self(std::array::from_fn(|index| bits & (0o400 >> index) != 0))
    }

    /// Rights of a class (0 owner, 1 group, 2 others) as bits of rules.
    pub(crate) fn rights(self, class: usize) -> u8 {
        self.0[class * 3..class * 3 + 3]
            .iter()
            .enumerate()
            .map(|(bit, set)| u8::from(*set) << bit)
            .sum()
    }

    pub(crate) fn write(self, xml: &mut Xml) {
        xml.open("PERMISSIONS");
        for (name, set) in PERMISSION_NAMES.iter().zip(self.0) {
            xml.field(name, u8::from(set));
        }
        xml.close("PERMISSIONS");
    }
}

/// A lock on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// 1 blocks USE and more, 2 MANAGE and more, 3 ADMIN.
    pub level: u8,
    /// Who took it.
    pub owner: u32,
    /// When, epoch seconds.
    pub time: u64,
    pub(crate) request_id: i64,
}

/// Identity, ownership and rights of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// Id.
    pub id: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Owner's name.
    pub uname: String,
    /// Group's name.
    pub gname: String,
    /// Name.
    pub name: String,
    /// Permission bits.
    pub permissions: Permissions,
    /// Lock, if any.
    pub lock: Option<Lock>,
}

impl Meta {
    /// `ID` to `NAME`.
    pub(crate) fn write_head(&self, xml: &mut Xml) {
        xml.field("ID", self.id);
        xml.field("UID", self.uid);
        xml.field("GID", self.gid);
        xml.field("UNAME", &self.uname);
        xml.field("GNAME", &self.gname);
        xml.field("NAME", &self.name);
    }

    pub(crate) fn write_permissions(&self, xml: &mut Xml) {
        self.permissions.write(xml);
    }

    pub(crate) fn write_lock(&self, xml: &mut Xml) {
        if let Some(lock) = self.lock {
            xml.open("LOCK");
            xml.field("LOCKED", lock.level);
            xml.field("OWNER", lock.owner);
            xml.field("TIME", lock.time);
            xml.field("REQ_ID", lock.request_id);
            xml.close("LOCK");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_umask_leaves_use_and_manage_to_the_owner() {
        let bits = |umask| Permissions::from_umask(umask).0.map(u8::from);
        assert_eq!(bits(0o177), [1, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bits(0o137), [1, 1, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(Permissions::from_umask(0o137).rights(0), 3);
        assert_eq!(Permissions::from_umask(0o137).rights(1), 1);
        assert_eq!(Permissions::from_umask(0o137).rights(2), 0);
    }

    #[test]
    fn bits_are_those_of_a_recorded_rule() {
        use ObjectKind as K;
        let kinds = [
            K::Vm,
            K::Image,
            K::Template,
            K::Document,
            K::SecGroup,
            K::VmGroup,
            K::BackupJob,
        ];
        let resource: u64 = kinds.iter().map(|kind| kind.bit()).sum::<u64>() | 0x4_0000_0000;
        assert_eq!(format!("{resource:x}"), "121429400000000");
        assert_eq!(format!("{:x}", K::VRouter.bit() | 0x4_0000_0000), "4000400000000");
    }
}
