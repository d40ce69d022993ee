//! Hosts, all of them with the dummy hypervisor.

use std::collections::BTreeSet;

use opennebula::template::Template;

use crate::clusters::system_meta;
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::Meta;
use crate::pool::Object;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::{self, done};
use crate::xml::Xml;

/// A host.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// Id and name.
    pub meta: Meta,
    /// Cluster.
    pub cluster: u32,
    /// CPU that VMs may get, in hundredths.
    pub max_cpu: u64,
    /// Memory that VMs may get, in KiB.
    pub max_memory: u64,
    /// CPU that VMs have.
    pub cpu_usage: u64,
    /// Memory that VMs have.
    pub memory_usage: u64,
    /// VMs on the host.
    pub vms: BTreeSet<u32>,
    /// Whether the scheduler may use it.
    pub enabled: bool,
    pub(crate) cluster_name: String,
    pub(crate) clusters: Vec<u32>,
    pub(crate) template: Template,
}

impl Object for Host {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    fn template(&self) -> &Template {
        &self.template
    }

    fn template_mut(&mut self) -> &mut Template {
        &mut self.template
    }

    fn clusters(&self) -> &[u32] {
        &self.clusters
    }

    fn write(&self, xml: &mut Xml) {
        // 2 is MONITORED, 4 is DISABLED.
        let state = if self.enabled { 2 } else { 4 };
        xml.open("HOST");
        xml.field("ID", self.meta.id);
        xml.field("NAME", &self.meta.name);
        xml.field("STATE", state);
        xml.field("PREV_STATE", state);
        xml.cdata("IM_MAD", "dummy");
        xml.cdata("VM_MAD", "dummy");
        xml.field("CLUSTER_ID", self.cluster);
        xml.field("CLUSTER", &self.cluster_name);
        xml.open("HOST_SHARE");
        xml.field("MEM_USAGE", self.memory_usage);
        xml.field("CPU_USAGE", self.cpu_usage);
        xml.field("TOTAL_MEM", self.max_memory);
        xml.field("TOTAL_CPU", self.max_cpu);
        xml.field("MAX_MEM", self.max_memory);
        xml.field("MAX_CPU", self.max_cpu);
        xml.field("RUNNING_VMS", self.vms.len());
        xml.field("VMS_THREAD", 1);
        xml.open("DATASTORES");
        // What the dummy probes report.
        for (name, mib) in [
            ("DISK_USAGE", 0),
            ("FREE_DISK", 20_480),
            ("MAX_DISK", 20_480),
            ("USED_DISK", 9720),
        ] {
            xml.cdata(name, mib);
        }
        xml.close("DATASTORES");
        xml.open("PCI_DEVICES");
        xml.close("PCI_DEVICES");
        xml.open("NUMA_NODES");
        xml.close("NUMA_NODES");
        xml.close("HOST_SHARE");
        xml.ids("VMS", &self.vms);
        xml.template("TEMPLATE", &self.template);
        xml.open("MONITORING");
        xml.close("MONITORING");
        xml.close("HOST");
    }
}

impl Core {
    /// Makes a host in a cluster. Its id.
    pub(crate) fn insert_host(&mut self, name: &str, cluster: u32, cpus: u64, memory_mib: u64) -> u32 {
        let id = self.hosts.next_id();
        let mut template = Template::new();
        for (name, text) in [("HYPERVISOR", "dummy"), ("IM_MAD", "dummy"), ("VM_MAD", "dummy")] {
            template.set(name, text);
        }
        let host = Host {
            meta: system_meta(id, name),
            cluster,
            max_cpu: cpus * 100,
            max_memory: memory_mib * 1024,
            cpu_usage: 0,
            memory_usage: 0,
            vms: BTreeSet::new(),
            enabled: true,
            cluster_name: self
                .clusters
                .get(cluster)
                .map(|cluster| cluster.meta.name.clone())
                .unwrap_or_default(),
            clusters: vec![cluster],
            template,
        };
        self.hosts.insert(id, host);
        if let Some(cluster) = self.clusters.get_mut(cluster) {
            cluster.hosts.insert(id);
        }
        id
    }
}

/// `one.host.allocate`: name, im, vmm, cluster. Any driver is the dummy one.
pub(crate) fn allocate(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    use crate::acl::Target;
    use crate::meta::{ObjectKind, Operation};
    core.authorize(
        &ctx.caller,
        Operation::Create,
        &Target::new_of(ObjectKind::Host, &ctx.caller),
    )?;
    let cluster = u32::try_from(args.int(3)).unwrap_or(0);
    if core.clusters.get(cluster).is_none() {
        return Err(Failure::no_exists_of(ObjectKind::Cluster, args.int(3)));
    }
    core.check_unique(ObjectKind::Host, args.text(0), 0)
        .map_err(Failure::internal)?;
    let id = core.insert_host(args.text(0), cluster, 8, 16 * 1024);
    ctx.extra = core.hosts.get(id).map(Object::to_xml).unwrap_or_default();
    done(id)
}

/// `one.host.delete`.
pub(crate) fn delete(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = shared::before_delete(core, ctx, args)?;
    if core.hosts.get(id).is_some_and(|host| !host.vms.is_empty()) {
        return Err(Failure::action(
            "Cannot delete host. Can not remove a host with running VMs",
        ));
    }
    if let Some(host) = core.hosts.remove(id)
        && let Some(cluster) = core.clusters.get_mut(host.cluster)
    {
        cluster.hosts.remove(&id);
    }
    done(id)
}

/// `one.host.status`: id, status (0 enable, 1 disable, 2 offline).
pub(crate) fn status(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    core.need(&ctx.caller, crate::meta::Operation::Admin, ctx.kind, id)?;
    if let Some(host) = u32::try_from(id).ok().and_then(|id| core.hosts.get_mut(id)) {
        host.enabled = args.int(1) == 0;
    }
    core.trigger_scheduler();
    Ok(id.into())
}
