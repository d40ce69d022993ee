//! The methods of the XML-RPC interface.

use opennebula::xmlrpc::Value;

use crate::meta::ObjectKind;
use crate::rpc::Handler;
use crate::{
    acl, clusters, datastores, documents, groups, hooks, hosts, images, reservations, sched_actions,
    sessions, shared, system, templates, users, vmgroups, vms, vnets, vrouters,
};

/// A method.
pub(crate) struct Method {
    pub(crate) name: &'static str,
    /// The kind of objects that it is about.
    pub(crate) kind: ObjectKind,
    /// Types of the parameters behind the session: `i`, `s`, `b`, `a`; those behind `|` may be left out.
    signature: &'static str,
    pub(crate) handler: Handler,
    /// Parameters that events hide, the session being 0.
    pub(crate) hidden: &'static [usize],
}

impl Method {
    /// Whether calls of it are published. What only reads mostly isn't.
    pub(crate) fn is_published(&self) -> bool {
        !NOT_PUBLISHED.contains(&self.name)
    }

    /// Checks number and types of the parameters, the session included. More than it knows are ignored.
    pub(crate) fn accepts(&self, params: &[Value]) -> Result<(), String> {
        let mut optional = false;
        let mut given = params.iter();
        let mut take = |kind: char, index: usize, optional: bool| match given.next() {
            None if optional => Ok(()),
            None => Err(format!(
                "Not enough parameters: {index} are missing something of type {kind}"
            )),
            Some(value) if is_of(value, kind) => Ok(()),
            Some(_) => Err(format!(
                "Parameter {index} has the wrong type, type {kind} was expected"
            )),
        };
        take('s', 0, false)?;
        let mut index = 0;
        for kind in self.signature.chars() {
            if kind == '|' {
                optional = true;
                continue;
            }
            index += 1;
            take(kind, index, optional)?;
        }
        Ok(())
    }
}

fn is_of(value: &Value, kind: char) -> bool {
    match kind {
        'i' => matches!(value, Value::Int(number) if i32::try_from(*number).is_ok()),
        's' => matches!(value, Value::String(_)),
        'b' => matches!(value, Value::Bool(_)),
        _ => matches!(value, Value::Array(_)),
    }
}

/// The method of that name.
pub(crate) fn find(name: &str) -> Option<&'static Method> {
    METHODS
        .binary_search_by(|method| method.name.cmp(name))
        .ok()
        .map(|index| &METHODS[index])
}

/// Whether a hook can be made for a method. OpenNebula has more methods than this one answers.
pub(crate) fn is_hookable(name: &str) -> bool {
    (find(name).is_some() || OTHERS.contains(&name)) && !NOT_PUBLISHED.contains(&name)
}

const fn method(
    name: &'static str,
    kind: ObjectKind,
    signature: &'static str,
    handler: Handler,
    hidden: &'static [usize],
) -> Method {
    Method {
        name,
        kind,
        signature,
        handler,
        hidden,
    }
}

/// By name.
#[rustfmt::skip]
static METHODS: &[Method] = &[
    method("one.acl.addrule", ObjectKind::Acl, "sss|s", acl::add_rule, &[]),
    method("one.acl.delrule", ObjectKind::Acl, "i", acl::delete_rule, &[]),
    method("one.acl.info", ObjectKind::Acl, "", acl::info, &[]),
    method("one.cluster.allocate", ObjectKind::Cluster, "s", clusters::allocate, &[]),
    method("one.cluster.delete", ObjectKind::Cluster, "i", clusters::delete, &[]),
    method("one.cluster.info", ObjectKind::Cluster, "i|b", shared::info, &[]),
    method("one.cluster.rename", ObjectKind::Cluster, "is", shared::rename, &[]),
    method("one.cluster.update", ObjectKind::Cluster, "is|i", shared::update, &[]),
    method("one.clusterpool.info", ObjectKind::Cluster, "", shared::pool_info, &[]),
    method("one.datastore.allocate", ObjectKind::Datastore, "s|i", datastores::allocate, &[]),
    method("one.datastore.chmod", ObjectKind::Datastore, "iiiiiiiiii", shared::chmod, &[]),
    method("one.datastore.chown", ObjectKind::Datastore, "iii", shared::chown, &[]),
    method("one.datastore.delete", ObjectKind::Datastore, "i", datastores::delete, &[]),
    method("one.datastore.info", ObjectKind::Datastore, "i|b", shared::info, &[]),
    method("one.datastore.rename", ObjectKind::Datastore, "is", shared::rename, &[]),
    method("one.datastore.update", ObjectKind::Datastore, "is|i", shared::update, &[]),
    method("one.datastorepool.info", ObjectKind::Datastore, "", shared::pool_info, &[]),
    method("one.document.allocate", ObjectKind::Document, "si", documents::allocate, &[]),
    method("one.document.chmod", ObjectKind::Document, "iiiiiiiiii", shared::chmod, &[]),
    method("one.document.chown", ObjectKind::Document, "iii", shared::chown, &[]),
    method("one.document.clone", ObjectKind::Document, "is", documents::clone, &[]),
    method("one.document.delete", ObjectKind::Document, "i", documents::delete, &[]),
    method("one.document.info", ObjectKind::Document, "i|b", shared::info, &[]),
    method("one.document.lock", ObjectKind::Document, "ii|b", shared::lock, &[]),
    method("one.document.rename", ObjectKind::Document, "is", shared::rename, &[]),
    method("one.document.unlock", ObjectKind::Document, "i", shared::unlock, &[]),
    method("one.document.update", ObjectKind::Document, "is|i", shared::update, &[]),
    method("one.documentpool.info", ObjectKind::Document, "iiii", documents::pool_info, &[]),
    method("one.group.allocate", ObjectKind::Group, "s", groups::allocate, &[]),
    method("one.group.info", ObjectKind::Group, "i|b", shared::info, &[]),
    method("one.group.quota", ObjectKind::Group, "is", groups::quota, &[]),
    method("one.group.update", ObjectKind::Group, "is|i", shared::update, &[]),
    method("one.grouppool.info", ObjectKind::Group, "", groups::pool_info, &[]),
    method("one.hook.allocate", ObjectKind::Hook, "s", hooks::allocate, &[]),
    method("one.hook.delete", ObjectKind::Hook, "i", hooks::delete, &[]),
    method("one.hook.info", ObjectKind::Hook, "i|b", shared::info, &[]),
    method("one.hook.lock", ObjectKind::Hook, "ii|b", shared::lock, &[]),
    method("one.hook.rename", ObjectKind::Hook, "is", shared::rename, &[]),
    method("one.hook.retry", ObjectKind::Hook, "ii", hooks::retry, &[]),
    method("one.hook.unlock", ObjectKind::Hook, "i", shared::unlock, &[]),
    method("one.hook.update", ObjectKind::Hook, "is|i", shared::update, &[]),
    method("one.hooklog.info", ObjectKind::Hook, "iiii", hooks::log_info, &[]),
    method("one.hookpool.info", ObjectKind::Hook, "", hooks::pool_info, &[]),
    method("one.host.allocate", ObjectKind::Host, "sss|i", hosts::allocate, &[]),
    method("one.host.delete", ObjectKind::Host, "i", hosts::delete, &[]),
    method("one.host.info", ObjectKind::Host, "i|b", shared::info, &[]),
    method("one.host.rename", ObjectKind::Host, "is", shared::rename, &[]),
    method("one.host.status", ObjectKind::Host, "ii", hosts::status, &[]),
    method("one.host.update", ObjectKind::Host, "is|i", shared::update, &[]),
    method("one.hostpool.info", ObjectKind::Host, "", shared::pool_info, &[]),
    method("one.image.allocate", ObjectKind::Image, "si|b", images::allocate, &[]),
    method("one.image.chmod", ObjectKind::Image, "iiiiiiiiii", shared::chmod, &[]),
    method("one.image.chown", ObjectKind::Image, "iii", shared::chown, &[]),
    method("one.image.delete", ObjectKind::Image, "i|b", images::delete, &[]),
    method("one.image.enable", ObjectKind::Image, "ib", images::enable, &[]),
    method("one.image.info", ObjectKind::Image, "i|b", shared::info, &[]),
    method("one.image.lock", ObjectKind::Image, "ii|b", shared::lock, &[]),
    method("one.image.persistent", ObjectKind::Image, "ib", images::persistent, &[]),
    method("one.image.rename", ObjectKind::Image, "is", shared::rename, &[]),
    method("one.image.unlock", ObjectKind::Image, "i", shared::unlock, &[]),
    method("one.image.update", ObjectKind::Image, "is|i", shared::update, &[]),
    method("one.imagepool.info", ObjectKind::Image, "iii", shared::pool_info, &[]),
    method("one.marketapp.info", ObjectKind::MarketplaceApp, "i|b", shared::info, &[]),
    method("one.marketapppool.info", ObjectKind::MarketplaceApp, "iii", shared::pool_info, &[]),
    method("one.system.config", ObjectKind::Zone, "", system::config, &[]),
    method("one.system.version", ObjectKind::Zone, "", system::version, &[]),
    method("one.template.allocate", ObjectKind::Template, "s", templates::allocate, &[]),
    method("one.template.chmod", ObjectKind::Template, "iiiiiiiiii", shared::chmod, &[]),
    method("one.template.chown", ObjectKind::Template, "iii", shared::chown, &[]),
    method("one.template.clone", ObjectKind::Template, "is|b", templates::clone, &[]),
    method("one.template.delete", ObjectKind::Template, "i|b", templates::delete, &[]),
    method("one.template.info", ObjectKind::Template, "i|bb", templates::info, &[]),
    method("one.template.instantiate", ObjectKind::Template, "is|bsb", templates::instantiate, &[]),
    method("one.template.lock", ObjectKind::Template, "ii|b", shared::lock, &[]),
    method("one.template.rename", ObjectKind::Template, "is", shared::rename, &[]),
    method("one.template.unlock", ObjectKind::Template, "i", shared::unlock, &[]),
    method("one.template.update", ObjectKind::Template, "is|i", shared::update, &[]),
    method("one.templatepool.info", ObjectKind::Template, "iii", shared::pool_info, &[]),
    method("one.user.addgroup", ObjectKind::User, "ii", users::add_group, &[]),
    method("one.user.allocate", ObjectKind::User, "sss|a", users::allocate, &[2]),
    method("one.user.chgrp", ObjectKind::User, "ii", users::change_group, &[]),
    method("one.user.delete", ObjectKind::User, "i", users::delete, &[]),
    method("one.user.delgroup", ObjectKind::User, "ii", users::delete_group, &[]),
    method("one.user.enable", ObjectKind::User, "ib", users::enable, &[]),
    method("one.user.info", ObjectKind::User, "i|b", shared::info, &[]),
    method("one.user.login", ObjectKind::User, "ssi|i", sessions::login, &[2]),
    method("one.user.passwd", ObjectKind::User, "is", users::passwd, &[2]),
    method("one.user.quota", ObjectKind::User, "is", users::quota, &[]),
    method("one.user.update", ObjectKind::User, "is|i", shared::update, &[]),
    method("one.userpool.info", ObjectKind::User, "", users::pool_info, &[]),
    method("one.vm.action", ObjectKind::Vm, "si", vms::action, &[]),
    method("one.vm.allocate", ObjectKind::Vm, "s|b", vms::allocate, &[]),
    method("one.vm.attachnic", ObjectKind::Vm, "is", vms::attach_nic, &[]),
    method("one.vm.cancelexec", ObjectKind::Vm, "i", vms::cancel_exec, &[]),
    method("one.vm.chmod", ObjectKind::Vm, "iiiiiiiiii", shared::chmod, &[]),
    method("one.vm.chown", ObjectKind::Vm, "iii", shared::chown, &[]),
    method("one.vm.deploy", ObjectKind::Vm, "ii|bis", vms::deploy, &[]),
    method("one.vm.detachnic", ObjectKind::Vm, "ii", vms::detach_nic, &[]),
    method("one.vm.exec", ObjectKind::Vm, "iss", vms::exec, &[]),
    method("one.vm.info", ObjectKind::Vm, "i|b", vms::info, &[]),
    method("one.vm.lock", ObjectKind::Vm, "ii|b", shared::lock, &[]),
    method("one.vm.recover", ObjectKind::Vm, "ii", vms::recover, &[]),
    method("one.vm.rename", ObjectKind::Vm, "is", shared::rename, &[]),
    method("one.vm.resize", ObjectKind::Vm, "is|b", vms::resize, &[]),
    method("one.vm.retryexec", ObjectKind::Vm, "i", vms::retry_exec, &[]),
    method("one.vm.schedadd", ObjectKind::Vm, "is", sched_actions::sched_add, &[]),
    method("one.vm.scheddelete", ObjectKind::Vm, "ii", sched_actions::sched_delete, &[]),
    method("one.vm.schedupdate", ObjectKind::Vm, "iis", sched_actions::sched_update, &[]),
    method("one.vm.unlock", ObjectKind::Vm, "i", shared::unlock, &[]),
    method("one.vm.update", ObjectKind::Vm, "is|i", vms::update, &[]),
    method("one.vm.updateconf", ObjectKind::Vm, "is|i", vms::update_conf, &[]),
    method("one.vmgroup.allocate", ObjectKind::VmGroup, "s", vmgroups::allocate, &[]),
    method("one.vmgroup.chmod", ObjectKind::VmGroup, "iiiiiiiiii", shared::chmod, &[]),
    method("one.vmgroup.chown", ObjectKind::VmGroup, "iii", shared::chown, &[]),
    method("one.vmgroup.delete", ObjectKind::VmGroup, "i", vmgroups::delete, &[]),
    method("one.vmgroup.info", ObjectKind::VmGroup, "i|b", shared::info, &[]),
    method("one.vmgroup.lock", ObjectKind::VmGroup, "ii|b", shared::lock, &[]),
    method("one.vmgroup.rename", ObjectKind::VmGroup, "is", shared::rename, &[]),
    method("one.vmgroup.unlock", ObjectKind::VmGroup, "i", shared::unlock, &[]),
    method("one.vmgroup.update", ObjectKind::VmGroup, "is|i", shared::update, &[]),
    method("one.vmgrouppool.info", ObjectKind::VmGroup, "iii", shared::pool_info, &[]),
    method("one.vmpool.info", ObjectKind::Vm, "iiii|s", vms::pool_info, &[]),
    method("one.vmpool.infoextended", ObjectKind::Vm, "iiii|s", vms::pool_info_extended, &[]),
    method("one.vmpool.infoset", ObjectKind::Vm, "sb", vms::pool_info_set, &[]),
    method("one.vn.add_ar", ObjectKind::Net, "is", reservations::add_range, &[]),
    method("one.vn.allocate", ObjectKind::Net, "s|i", vnets::allocate, &[]),
    method("one.vn.chmod", ObjectKind::Net, "iiiiiiiiii", shared::chmod, &[]),
    method("one.vn.chown", ObjectKind::Net, "iii", shared::chown, &[]),
    method("one.vn.delete", ObjectKind::Net, "i", vnets::delete, &[]),
    method("one.vn.hold", ObjectKind::Net, "is", reservations::hold, &[]),
    method("one.vn.info", ObjectKind::Net, "i|b", vnets::info, &[]),
    method("one.vn.lock", ObjectKind::Net, "ii|b", shared::lock, &[]),
    method("one.vn.release", ObjectKind::Net, "is", reservations::release, &[]),
    method("one.vn.rename", ObjectKind::Net, "is", shared::rename, &[]),
    method("one.vn.reserve", ObjectKind::Net, "is", reservations::reserve, &[]),
    method("one.vn.unlock", ObjectKind::Net, "i", shared::unlock, &[]),
    method("one.vn.update", ObjectKind::Net, "is|i", shared::update, &[]),
    method("one.vnpool.info", ObjectKind::Net, "iii", shared::pool_info, &[]),
    method("one.vrouter.allocate", ObjectKind::VRouter, "s", vrouters::allocate, &[]),
    method("one.vrouter.attachnic", ObjectKind::VRouter, "is", vrouters::attach_nic, &[]),
    method("one.vrouter.chmod", ObjectKind::VRouter, "iiiiiiiiii", shared::chmod, &[]),
    method("one.vrouter.chown", ObjectKind::VRouter, "iii", shared::chown, &[]),
    method("one.vrouter.delete", ObjectKind::VRouter, "i", vrouters::delete, &[]),
    method("one.vrouter.detachnic", ObjectKind::VRouter, "ii", vrouters::detach_nic, &[]),
    method("one.vrouter.info", ObjectKind::VRouter, "i|b", shared::info, &[]),
    method("one.vrouter.instantiate", ObjectKind::VRouter, "iiisbs", vrouters::instantiate, &[]),
    method("one.vrouter.lock", ObjectKind::VRouter, "ii|b", shared::lock, &[]),
    method("one.vrouter.rename", ObjectKind::VRouter, "is", shared::rename, &[]),
    method("one.vrouter.unlock", ObjectKind::VRouter, "i", shared::unlock, &[]),
    method("one.vrouter.update", ObjectKind::VRouter, "is|i", shared::update, &[]),
    method("one.vrouterpool.info", ObjectKind::VRouter, "iii", shared::pool_info, &[]),
    method("one.zone.raftstatus", ObjectKind::Zone, "", system::raft_status, &[]),
];

/// Calls of these are never published and can't be hooked.
#[rustfmt::skip]
static NOT_PUBLISHED: &[&str] = &[
    "one.acl.info", "one.cluster.info", "one.clusterpool.info", "one.datastore.info",
    "one.datastorepool.info", "one.document.info", "one.documentpool.info", "one.group.info",
    "one.grouppool.info", "one.groupquota.info", "one.hook.info", "one.hooklog.info", "one.hookpool.info",
    "one.host.info", "one.hostpool.info", "one.image.info", "one.imagepool.info", "one.market.info",
    "one.marketapp.info", "one.marketapppool.info", "one.marketpool.info", "one.secgroup.info",
    "one.secgrouppool.info", "one.template.info", "one.templatepool.info", "one.user.info",
    "one.userpool.info", "one.userquota.info", "one.vdc.info", "one.vdcpool.info", "one.vm.info",
    "one.vmgroup.info", "one.vmgrouppool.info", "one.vmpool.info", "one.vmpool.infoextended", "one.vn.info",
    "one.vnpool.info", "one.vntemplate.info", "one.vntemplatepool.info", "one.vrouter.info",
    "one.vrouterpool.info", "one.zone.info", "one.zonepool.info",
];

/// Methods of OpenNebula that this one lacks.
#[rustfmt::skip]
static OTHERS: &[&str] = &[
    "one.backupjob.allocate", "one.backupjob.backup", "one.backupjob.cancel", "one.backupjob.chmod",
    "one.backupjob.chown", "one.backupjob.delete", "one.backupjob.info", "one.backupjob.lock",
    "one.backupjob.priority", "one.backupjob.rename", "one.backupjob.retry", "one.backupjob.schedadd",
    "one.backupjob.scheddelete", "one.backupjob.schedupdate", "one.backupjob.unlock",
    "one.backupjob.update", "one.backupjobpool.info", "one.cluster.adddatastore", "one.cluster.addhost",
    "one.cluster.addvnet", "one.cluster.deldatastore", "one.cluster.delhost", "one.cluster.delvnet",
    "one.cluster.optimize", "one.cluster.plandelete", "one.cluster.planexecute", "one.datastore.enable",
    "one.group.addadmin", "one.group.deladmin", "one.group.delete", "one.group.vlan", "one.groupquota.info",
    "one.groupquota.update", "one.host.monitoring", "one.hostpool.monitoring", "one.image.chtype",
    "one.image.clone", "one.image.restore", "one.image.snapshotdelete", "one.image.snapshotflatten",
    "one.image.snapshotrevert", "one.market.allocate", "one.market.allocatedb", "one.market.chmod",
    "one.market.chown", "one.market.delete", "one.market.enable", "one.market.info", "one.market.rename",
    "one.market.update", "one.market.updatedb", "one.marketapp.allocate", "one.marketapp.allocatedb",
    "one.marketapp.chmod", "one.marketapp.chown", "one.marketapp.delete", "one.marketapp.dropdb",
    "one.marketapp.enable", "one.marketapp.lock", "one.marketapp.rename", "one.marketapp.unlock",
    "one.marketapp.update", "one.marketapp.updatedb", "one.marketpool.info", "one.secgroup.allocate",
    "one.secgroup.chmod", "one.secgroup.chown", "one.secgroup.clone", "one.secgroup.commit",
    "one.secgroup.delete", "one.secgroup.info", "one.secgroup.rename", "one.secgroup.update",
    "one.secgrouppool.info", "one.system.sql", "one.system.sqlquery", "one.user.chauth",
    "one.userquota.info", "one.userquota.update", "one.vdc.addcluster", "one.vdc.adddatastore",
    "one.vdc.addgroup", "one.vdc.addhost", "one.vdc.addvnet", "one.vdc.allocate", "one.vdc.delcluster",
    "one.vdc.deldatastore", "one.vdc.delete", "one.vdc.delgroup", "one.vdc.delhost", "one.vdc.delvnet",
    "one.vdc.info", "one.vdc.rename", "one.vdc.update", "one.vdcpool.info", "one.vm.attach",
    "one.vm.attachpci", "one.vm.attachsg", "one.vm.backup", "one.vm.backupcancel", "one.vm.detach",
    "one.vm.detachpci", "one.vm.detachsg", "one.vm.diskresize", "one.vm.disksaveas",
    "one.vm.disksnapshotcreate", "one.vm.disksnapshotdelete", "one.vm.disksnapshotrename",
    "one.vm.disksnapshotrevert", "one.vm.migrate", "one.vm.monitoring", "one.vm.restore",
    "one.vm.snapshotcreate", "one.vm.snapshotdelete", "one.vm.snapshotrevert", "one.vm.updatenic",
    "one.vm.vmgroupadd", "one.vm.vmgroupdel", "one.vmgroup.roleadd", "one.vmgroup.roledelete",
    "one.vmgroup.roleupdate", "one.vmpool.accounting", "one.vmpool.calculateshowback",
    "one.vmpool.monitoring", "one.vmpool.showback", "one.vn.recover", "one.vntemplate.allocate",
    "one.vntemplate.chmod", "one.vntemplate.chown", "one.vntemplate.clone", "one.vntemplate.delete",
    "one.vntemplate.info", "one.vntemplate.instantiate", "one.vntemplate.lock", "one.vntemplate.rename",
    "one.vntemplate.unlock", "one.vntemplate.update", "one.vntemplatepool.info", "one.zone.addserver",
    "one.zone.allocate", "one.zone.delete", "one.zone.delserver", "one.zone.enable",
    "one.zone.fedreplicate", "one.zone.info", "one.zone.rename", "one.zone.replicate",
    "one.zone.resetserver", "one.zone.update", "one.zone.updatedb", "one.zone.voterequest",
    "one.zonepool.info",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_sorted_for_the_search() {
        assert!(METHODS.is_sorted_by(|a, b| a.name < b.name));
        assert!(
            METHODS
                .iter()
                .all(|method| find(method.name).is_some_and(|found| found.name == method.name))
        );
    }

    #[test]
    fn hooks_can_be_made_for_what_changes_something() {
        for (name, hookable) in [
            ("one.document.update", true),
            ("one.vm.migrate", true),
            ("one.vmpool.infoset", true),
            ("one.system.version", true),
            ("one.vm.info", false),
            ("one.nothing", false),
        ] {
            assert_eq!(is_hookable(name), hookable, "{name}");
        }
    }

    #[test]
    fn signatures() {
        let update = find("one.document.update").unwrap();
        let accepts = |params: &[Value]| update.accepts(params).is_ok();
        assert!(accepts(&["a:b".into(), 1.into(), "X=1".into()]));
        assert!(accepts(&["a:b".into(), 1.into(), "X=1".into(), 1.into()]));
        assert!(accepts(&[
            "a:b".into(),
            1.into(),
            "X=1".into(),
            1.into(),
            true.into()
        ]));
        assert!(!accepts(&["a:b".into(), 1.into()]));
        assert!(!accepts(&["a:b".into(), "1".into(), "X=1".into()]));
        assert!(!accepts(&["a:b".into(), 1.into(), "X=1".into(), true.into()]));
        assert!(!accepts(&[]));
    }
}
