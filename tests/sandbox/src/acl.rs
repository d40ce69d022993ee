//! Rights: permission bits, access rules and locks.

use std::collections::BTreeSet;

use opennebula::xmlrpc::Value;

use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{Meta, ObjectKind, Operation};
use crate::rpc::{Args, Context, Outcome};
use crate::xml::Xml;

/// Who calls.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Caller {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) uname: String,
    pub(crate) gname: String,
    /// All groups, or the one that a token is limited to.
    pub(crate) groups: BTreeSet<u32>,
    pub(crate) umask: u32,
    pub(crate) request_id: i64,
}

impl Caller {
    /// oneadmin or a member of its group.
    pub(crate) fn is_admin(&self) -> bool {
        self.uid == 0 || self.groups.contains(&0)
    }
}

/// A rule: who may do what with which objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// Bits of a user, a group or everybody.
    pub user: u64,
    /// Bits of kinds, and of an object, a group, a cluster or everything.
    pub resource: u64,
    /// USE 1, MANAGE 2, ADMIN 4, CREATE 8.
    pub rights: u8,
    /// Bits of a zone or all zones.
    pub zone: u64,
}

const INDIVIDUAL: u64 = 0x1_0000_0000;
const GROUP: u64 = 0x2_0000_0000;
const ALL: u64 = 0x4_0000_0000;
const CLUSTER: u64 = 0x8_0000_0000;
const SELECTOR: u64 = 0xf_ffff_ffff;
const ID: u64 = 0xffff_ffff;

const RIGHTS: [(u8, &str); 4] = [(1, "USE"), (2, "MANAGE"), (4, "ADMIN"), (8, "CREATE")];

impl Acl {
    /// Reads `@1 VM+NET/* USE+CREATE #0`; the zone may be left out and means the only one.
    ///
    /// # Errors
    /// The rule is not in that form; the text says where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split_whitespace();
        let (Some(user), Some(resource), Some(rights)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!(
                "a rule is USER RESOURCES/TARGET RIGHTS [ZONE], not {text}"
            ));
        };
        let zone = parts.next().unwrap_or("#0");
        let (kinds, target) = resource
            .split_once('/')
            .ok_or_else(|| format!("{resource}: kinds and target are joined by /"))?;
        let mut bits = selector(target)?;
        for kind in kinds.split('+') {
            let known = ObjectKind::IN_RULES
                .iter()
                .chain(&[ObjectKind::Hook, ObjectKind::BackupJob]);
            let kind = known
                .into_iter()
                .find(|known| known.name() == kind)
                .ok_or_else(|| format!("{kind}: no kind"))?;
            bits |= kind.bit();
        }
        let mut right_bits = 0;
        for right in rights.split('+') {
            let (bit, _) = RIGHTS
                .iter()
                .find(|(_, name)| *name == right)
                .ok_or_else(|| format!("{right}: no right"))?;
            right_bits |= bit;
        }
        Ok(Self {
            user: selector(user)?,
            resource: bits,
            rights: right_bits,
            zone: selector(zone)?,
        })
    }

    fn to_text(&self) -> String {
        let kinds = ObjectKind::IN_RULES
            .iter()
            .chain(&[ObjectKind::Hook, ObjectKind::BackupJob]);
        let kinds: Vec<_> = kinds
            .filter(|kind| self.resource & kind.bit() != 0)
            .map(|kind| kind.name())
            .collect();
        let rights: Vec<_> = RIGHTS
            .iter()
            .filter(|(bit, _)| self.rights & bit != 0)
            .map(|(_, name)| *name)
            .collect();
        format!(
            "{} {}/{} {} {}",
            selector_text(self.user),
            kinds.join("+"),
            selector_text(self.resource & SELECTOR),
            rights.join("+"),
            selector_text(self.zone)
        )
    }

    fn is_for(&self, caller: &Caller) -> bool {
        match self.user & !ID {
            ALL => true,
            INDIVIDUAL => self.user & ID == u64::from(caller.uid),
            GROUP => caller.groups.iter().any(|gid| self.user & ID == u64::from(*gid)),
            _ => false,
        }
    }

    fn covers(&self, target: &Target<'_>) -> bool {
        if self.resource & target.kind.bit() == 0 {
            return false;
        }
        let id = self.resource & ID;
        match self.resource & SELECTOR & !ID {
            ALL => true,
            INDIVIDUAL => target.id.is_some_and(|own| id == u64::from(own)),
            GROUP => target.gid.is_some_and(|gid| id == u64::from(gid)),
            CLUSTER => target.clusters.iter().any(|cluster| id == u64::from(*cluster)),
            _ => false,
        }
    }
}

fn selector(text: &str) -> Result<u64, String> {
    let number = |text: &str| {
        text.parse::<u32>()
            .map(u64::from)
            .map_err(|_| format!("{text}: no id"))
    };
    match text.split_at_checked(1) {
        Some(("*", "")) => Ok(ALL),
        Some(("#", id)) => Ok(INDIVIDUAL | number(id)?),
        Some(("@", id)) => Ok(GROUP | number(id)?),
        Some(("%", id)) => Ok(CLUSTER | number(id)?),
        _ => Err(format!("{text}: expected #id, @group, %cluster or *")),
    }
}

fn selector_text(bits: u64) -> String {
    let id = bits & ID;
    match bits & SELECTOR & !ID {
        ALL => "*".into(),
        INDIVIDUAL => format!("#{id}"),
        GROUP => format!("@{id}"),
        CLUSTER => format!("%{id}"),
        _ => "?".into(),
    }
}

/// What a call is about.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) kind: ObjectKind,
    /// `None` for a new object.
    pub(crate) id: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    /// Rights of owner, group and others.
    pub(crate) rights: [u8; 3],
    pub(crate) lock: u8,
    pub(crate) clusters: &'a [u32],
}

impl<'a> Target<'a> {
    pub(crate) fn of(kind: ObjectKind, meta: &Meta, clusters: &'a [u32]) -> Self {
        let permissions = meta.permissions;
        Self {
            kind,
            id: Some(meta.id),
            // A user owns itself.
            uid: Some(if kind == ObjectKind::User {
                meta.id
            } else {
                meta.uid
            }),
            gid: Some(meta.gid),
            rights: [
                permissions.rights(0),
                permissions.rights(1),
                permissions.rights(2),
            ],
            lock: meta.lock.map_or(0, |lock| lock.level),
            clusters,
        }
    }

    /// An object that the caller is about to make.
    pub(crate) fn new_of(kind: ObjectKind, caller: &Caller) -> Self {
        Self {
            kind,
            id: None,
            uid: Some(caller.uid),
            gid: Some(caller.gid),
            rights: [0; 3],
            lock: 0,
            clusters: &[],
        }
    }

    /// No object in particular, as in a call about a whole pool.
    pub(crate) fn pool(kind: ObjectKind) -> Self {
        Self {
            kind,
            id: None,
            uid: None,
            gid: None,
            rights: [0; 3],
            lock: 0,
            clusters: &[],
        }
    }
}

/// A list of demands that are refused together, as oned words it.
pub(crate) struct Request<'a> {
    core: &'a Core,
    caller: &'a Caller,
    refusals: Vec<String>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(core: &'a Core, caller: &'a Caller) -> Self {
        Self {
            core,
            caller,
            refusals: Vec::new(),
        }
    }

    pub(crate) fn need(&mut self, operation: Operation, target: &Target<'_>) -> &mut Self {
        if let Err(refusal) = self.core.check(self.caller, operation, target) {
            self.refusals.push(refusal);
        }
        self
    }

    pub(crate) fn finish(&self) -> Result<(), Failure> {
        if self.refusals.is_empty() {
            Ok(())
        } else {
            Err(Failure::authorization(self.refusals.join("; ")))
        }
    }
}

impl Core {
    fn check(&self, caller: &Caller, operation: Operation, target: &Target<'_>) -> Result<(), String> {
        let right = operation.right();
        let suffix = target.id.map(|id| format!(" [{id}]")).unwrap_or_default();
        let locked = operation.is_lockable() && target.lock > 0 && target.lock <= right;
        if caller.is_admin() {
            return if locked {
                Err(format!("{} is locked.{suffix}", target.kind.name()))
            } else {
                Ok(())
            };
        }
        let allows = |rights: u8| rights & right == right;
        let by_bits = (target.uid == Some(caller.uid) && target.id.is_some() && allows(target.rights[0]))
            || (target.gid.is_some_and(|gid| caller.groups.contains(&gid)) && allows(target.rights[1]))
            || allows(target.rights[2]);
        let granted = !locked
            && (by_bits
                || self
                    .acls
                    .values()
                    .any(|acl| allows(acl.rights) && acl.is_for(caller) && acl.covers(target)));
        if granted {
            Ok(())
        } else {
            Err(format!(
                "Not authorized to perform {} {}{suffix}",
                operation.name(),
                target.kind.name()
            ))
        }
    }

    /// Refuses unless the caller may do this to that.
    pub(crate) fn authorize(
        &self,
        caller: &Caller,
        operation: Operation,
        target: &Target<'_>,
    ) -> Result<(), Failure> {
        self.check(caller, operation, target)
            .map_err(Failure::authorization)
    }

    /// Whether a pool call shows the object to the caller.
    pub(crate) fn is_visible(&self, caller: &Caller, target: &Target<'_>) -> bool {
        self.check(caller, Operation::UseNoLock, target).is_ok()
    }
}

/// `one.acl.info`. Rules are ordered by user, then by id, as oned keeps them.
pub(crate) fn info(core: &mut Core, ctx: &mut Context, _args: &Args<'_>) -> Outcome {
    core.authorize(&ctx.caller, Operation::Manage, &Target::pool(ObjectKind::Acl))?;
    let mut rules: Vec<_> = core.acls.iter().collect();
    rules.sort_by_key(|(id, acl)| (acl.user, *id));
    let mut xml = Xml::new();
    xml.open("ACL_POOL");
    for (id, acl) in rules {
        xml.open("ACL");
        xml.field("ID", id);
        xml.field("USER", format_args!("{:x}", acl.user));
        xml.field("RESOURCE", format_args!("{:x}", acl.resource));
        xml.field("RIGHTS", format_args!("{:x}", acl.rights));
        xml.field("ZONE", format_args!("{:x}", acl.zone));
        xml.field("STRING", acl.to_text());
        xml.close("ACL");
    }
    xml.close("ACL_POOL");
    Ok(xml.into_string().into())
}

/// `one.acl.addrule`: user, resource, rights and zone in hexadecimal.
pub(crate) fn add_rule(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    core.authorize(&ctx.caller, Operation::Manage, &Target::pool(ObjectKind::Acl))?;
    let hex = |index: usize| u64::from_str_radix(args.text(index).trim_start_matches("0x"), 16);
    let (Ok(user), Ok(resource), Ok(rights)) = (hex(0), hex(1), hex(2)) else {
        return Err(Failure::internal(
            "Error allocating a new ACL rule. Malformed rule",
        ));
    };
    let zone = if args.len() > 3 {
        hex(3).unwrap_or(ALL)
    } else {
        INDIVIDUAL
    };
    let acl = Acl {
        user,
        resource,
        rights: u8::try_from(rights & 0xf).unwrap_or(0),
        zone,
    };
    if core.acls.values().any(|known| *known == acl) {
        return Err(Failure::internal(format!(
            "Rule {} already exists",
            acl.to_text()
        )));
    }
    let id = core.acls.next_id();
    core.acls.insert(id, acl);
    Ok(Value::from(i64::from(id)))
}

/// `one.acl.delrule`.
pub(crate) fn delete_rule(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    core.authorize(&ctx.caller, Operation::Manage, &Target::pool(ObjectKind::Acl))?;
    let id = args.id(0)?;
    match core.acls.remove(id) {
        Some(_) => Ok(Value::from(i64::from(id))),
        None => Err(Failure::internal(format!("Rule {id} does not exist"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(uid: u32, groups: &[u32]) -> Caller {
        Caller {
            uid,
            gid: groups[0],
            uname: String::new(),
            gname: String::new(),
            groups: groups.iter().copied().collect(),
            umask: 0o177,
            request_id: 0,
        }
    }

    #[test]
    fn rules_are_read_and_written_as_oneacl_does() {
        for text in [
            "@1 VM+IMAGE+TEMPLATE/* CREATE *",
            "#2 VROUTER/@1 USE+MANAGE #0",
            "* NET/%0 USE #0",
        ] {
            assert_eq!(Acl::parse(text).unwrap().to_text(), text);
        }
        let acl = Acl::parse("@1 VM+IMAGE+TEMPLATE+DOCUMENT+SECGROUP+VMGROUP+BACKUPJOB/* CREATE *").unwrap();
        assert_eq!(
            format!("{:x} {:x} {:x}", acl.user, acl.resource, acl.zone),
            "200000001 121429400000000 400000000"
        );
        for bad in [
            "",
            "@1 VM/*",
            "@1 VM/* FLY",
            "@1 THING/* USE",
            "1 VM/* USE",
            "@x VM/* USE",
            "@1 VM USE",
        ] {
            assert!(Acl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bits_rules_and_locks_decide() {
        let mut core = Core::bare();
        let target = Target {
            kind: ObjectKind::Vm,
            id: Some(7),
            uid: Some(2),
            gid: Some(1),
            rights: [3, 1, 0],
            lock: 0,
            clusters: &[],
        };
        let may =
            |core: &Core, caller: &Caller, op, target: &Target<'_>| core.check(caller, op, target).is_ok();
        let (owner, friend, stranger, admin) =
            (caller(2, &[1]), caller(3, &[1]), caller(4, &[5]), caller(9, &[0]));
        assert!(may(&core, &owner, Operation::Manage, &target));
        assert!(!may(&core, &owner, Operation::Admin, &target));
        assert!(
            may(&core, &friend, Operation::Use, &target) && !may(&core, &friend, Operation::Manage, &target)
        );
        assert!(!may(&core, &stranger, Operation::Use, &target));
        assert!(may(&core, &admin, Operation::Admin, &target));

        core.acls.insert(0, Acl::parse("#4 VM/#7 USE+MANAGE").unwrap());
        assert!(may(&core, &stranger, Operation::Manage, &target));
        core.acls.insert(0, Acl::parse("@5 VM/@1 USE").unwrap());
        assert!(
            may(&core, &stranger, Operation::Use, &target)
                && !may(&core, &stranger, Operation::Manage, &target)
        );
        core.acls.insert(0, Acl::parse("@5 VM/%3 USE").unwrap());
        assert!(!may(&core, &stranger, Operation::Use, &target));
        assert!(may(
            &core,
            &stranger,
            Operation::Use,
            &Target {
                clusters: &[3],
                ..target
            }
        ));

        for (lock, blocked) in [
            (1, [true, true, true]),
            (2, [false, true, true]),
            (3, [false, false, true]),
        ] {
            let target = Target { lock, ..target };
            let found = [Operation::Use, Operation::Manage, Operation::Admin]
                .map(|op| !may(&core, &admin, op, &target));
            assert_eq!(found, blocked, "lock {lock}");
            assert!(may(&core, &owner, Operation::UseNoLock, &target));
        }
        let refusal = core
            .check(&admin, Operation::Manage, &Target { lock: 1, ..target })
            .unwrap_err();
        assert_eq!(refusal, "VM is locked. [7]");
    }
}
