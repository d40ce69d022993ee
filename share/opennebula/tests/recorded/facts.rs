//! What the recorded answers say, read through the typed objects.

use opennebula::calls::{PoolFilter, PoolRange, VmStateFilter};
use opennebula::objects::{
    Acl, Cluster, Document, GuestExecStatus, Hook, ImageState, LcmState, Limit, Quotas, RaftStatus, Resource,
    Right, User, Vm, VmState, VmTemplate, Vnet, Vrouter,
};
use opennebula::{Attribute, AttributeValue, Client, Session, Template, Transport, TransportError};

use crate::fixtures::exchange;

/// Answers every call with one recorded body.
struct Answer(String);

impl Transport for Answer {
    fn post(&self, _: &str) -> Result<String, TransportError> {
        Ok(self.0.clone())
    }
}

fn client(number: u32) -> Client {
    Client::new(Answer(exchange(number).response), Session::parse("a:b").unwrap())
}

fn vm(number: u32) -> Vm {
    Vm::from_xml(&exchange(number).text()).unwrap()
}

fn document(number: u32) -> Document {
    Document::from_xml(&exchange(number).text()).unwrap()
}

/// A template as oned holds it: sorted by name, keys of vectors sorted.
fn sorted(template: &Template) -> Vec<Attribute> {
    let mut attributes: Vec<Attribute> = template.iter().cloned().collect();
    for attribute in &mut attributes {
        if let AttributeValue::Vector(pairs) = &mut attribute.value {
            pairs.sort();
        }
    }
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    attributes
}

#[test]
fn templates_are_read_as_oned_read_them() {
    // What was sent, where it shows, and what else is there.
    let cases: [(u32, usize, Template, &[&str]); 6] = [
        (16, 1, document(17).template, &[]),
        (18, 2, document(20).template, &["SPEC", "STATUS"]),
        (19, 2, document(20).template, &["SPEC"]),
        (21, 2, document(25).template, &["SPEC", "STATUS", "LOCKED_OK"]),
        (
            73,
            1,
            VmTemplate::from_xml(&exchange(78).text()).unwrap().template,
            &[],
        ),
        (
            105,
            1,
            Hook::from_xml(&exchange(107).text()).unwrap().template,
            &["REMOTE"],
        ),
    ];
    for (sent, parameter, mut stored, others) in cases {
        let call = exchange(sent).call();
        let mut read = Template::parse(call.params[parameter].as_str().unwrap()).unwrap();
        // These become properties of the object.
        read.remove("NAME");
        read.remove("TYPE");
        if sent == 18 {
            // 019 replaced it.
            assert_eq!(read.get("STATUS"), Some(r#"{"state": "PENDING"}"#));
            read.remove("STATUS");
        }
        for name in others {
            assert!(stored.remove(name), "{sent}: {name}");
        }
        assert!(sorted(&read) == sorted(&stored), "{sent}: {read:?} {stored:?}");
    }
    assert_eq!(document(25).template.get("BAD"), Some("\"unterminated"));
}

#[test]
fn merges_are_as_oned_makes_them() {
    let mut template = document(17).template;
    for number in [18, 19, 21, 24] {
        let call = exchange(number).call();
        template.merge(&Template::parse(call.params[2].as_str().unwrap()).unwrap());
    }
    assert!(sorted(&template) == sorted(&document(25).template));
}

#[test]
fn what_oned_refuses_or_loses_can_not_be_written() {
    // 112: refused. 113: accepted and lost.
    let refused = exchange(112).call();
    assert!(Template::parse(refused.params[2].as_str().unwrap()).is_err());
    let lost = exchange(113).call();
    let template = Template::parse(lost.params[2].as_str().unwrap()).unwrap();
    assert_eq!(template.get("S"), Some("has ]]> inside"));
    assert!(template.to_text().is_err() && template.to_xml("TEMPLATE").is_err());
    assert!(!document(114).template.contains("S"));
    // 110 and 111: hostile, and stored as it is.
    assert!(
        document(114)
            .template
            .get("SPEC")
            .unwrap()
            .starts_with("{}</VALUE></PARAMETER>")
    );
}

#[test]
fn documents_have_owner_type_and_lock() {
    let locked = document(25);
    assert_eq!((locked.id, locked.uid, locked.gid, locked.kind), (10, 2, 1, 120));
    assert_eq!(
        (locked.uname.as_str(), locked.gname.as_str(), locked.name.as_str()),
        ("alice", "users", "demo")
    );
    assert!(locked.permissions.owner.manage && !locked.permissions.group.r#use);
    let lock = locked.lock.unwrap();
    assert_eq!((lock.level, lock.owner, lock.time), (3, Some(0), 1_795_351_900));
    assert_eq!(document(17).lock, None);
}

#[test]
fn a_vm_goes_through_its_states() {
    let held = vm(35);
    assert_eq!(
        (held.id, held.state, held.lcm_state),
        (18, VmState::Hold, LcmState::LcmInit)
    );
    assert_eq!((held.last_history, held.etime), (None, None));
    let running = vm(59);
    assert!(running.is_running());
    assert_eq!(
        (running.prev_state, running.prev_lcm_state),
        (Some(VmState::Active), Some(LcmState::Running))
    );
    assert_eq!(
        (running.stime, running.template_id(), running.vrouter_id()),
        (1_795_351_900, Some(0), None)
    );
    let host = running.last_history.clone().unwrap();
    assert_eq!(
        (host.seq, host.host_id, host.hostname.as_str(), host.cluster_id),
        (1, Some(0), "host0", Some(0))
    );
    let nic = &running.nics()[0];
    assert_eq!(
        (nic.nic_id, nic.network_id, nic.network.as_str()),
        (Some(0), Some(1), "private")
    );
    assert_eq!(nic.ip.unwrap().to_string(), "198.51.100.22");
    let failed = vm(99);
    assert!(failed.is_failed() && !failed.is_running());
    assert_eq!(failed.lcm_state, LcmState::BootFailure);
    assert_eq!(
        failed.error_text(),
        Some("Sun Nov 22 12:52:36 2026: DEPLOY: host0:bootfail:dummy")
    );
    let undeployed = vm(260);
    assert_eq!(
        (undeployed.state, undeployed.lcm_state),
        (VmState::Undeployed, LcmState::LcmInit)
    );
    let done = vm(67);
    assert!(
        matches!(done.state, VmState::Done | VmState::Active),
        "{:?}",
        done.state
    );
}

#[test]
fn tags_are_read_where_oned_shows_them() {
    let tag = vm(253).oneks_tag().unwrap();
    assert_eq!((tag.cluster_id, tag.group_id), (77, Some(77002)));
    assert_eq!(
        (tag.kind.as_str(), tag.cluster_name.as_str()),
        ("NodeGroup", "oneks-77")
    );
    let router = VmTemplate::from_xml(&exchange(78).text())
        .unwrap()
        .oneks_tag()
        .unwrap();
    assert_eq!(
        (router.cluster_id, router.group_id, router.kind.as_str()),
        (10, None, "CLUSTER_ROUTER")
    );
    // The short list leaves out the user template, and the tag with it.
    let all = (PoolFilter::All, PoolRange::default(), VmStateFilter::NotDone);
    let short = client(69).vmpool_info(all.0, all.1, all.2).unwrap();
    let extended = client(70).vmpool_infoextended(all.0, all.1, all.2).unwrap();
    let set = client(71).vmpool_infoset(&[17, 18], true).unwrap();
    let tags = |pool: &opennebula::Pool<Vm>| {
        pool.iter()
            .map(|vm| (vm.id, vm.oneks_tag().map(|tag| tag.cluster_id)))
            .collect::<Vec<_>>()
    };
    assert_eq!(tags(&short), [(18, None), (17, None)]);
    assert_eq!(tags(&extended), tags(&set));
    assert!(tags(&set).contains(&(17, Some(7))), "{:?}", tags(&set));
    assert!(
        short
            .iter()
            .all(|vm| vm.permissions.is_none() && vm.prev_state.is_none())
    );
}

#[test]
fn a_guest_command_is_under_way_and_then_done() {
    assert_eq!(vm(35).guest_exec(), None);
    let exec = vm(59).guest_exec().unwrap();
    assert_eq!(
        (exec.command.as_str(), exec.stdin.as_slice()),
        ("/bin/sh", &b"echo hi"[..])
    );
    assert_eq!(
        (exec.status, exec.return_code, exec.pid),
        (GuestExecStatus::Executing, None, None)
    );
    let exec = vm(61).guest_exec().unwrap();
    assert_eq!(
        (exec.status, exec.return_code, exec.pid),
        (GuestExecStatus::Done, Some(0), Some(17))
    );
    assert_eq!(
        (exec.stdout.as_slice(), exec.stderr.as_slice()),
        (&b"Execution finished for VM 17"[..], &b""[..])
    );
}

#[test]
fn a_router_has_vms_and_addresses() {
    let router = Vrouter::from_xml(&exchange(75).text()).unwrap();
    assert_eq!(
        (router.id, router.name.as_str(), router.vms.as_slice()),
        (2, "demo-cp", &[20][..])
    );
    assert_eq!(router.template_id(), Some(9));
    let addresses: Vec<_> = router
        .nics()
        .iter()
        .map(|nic| (nic.network_id, nic.vrouter_ip.unwrap().to_string()))
        .collect();
    assert_eq!(
        addresses,
        [
            (Some(0), "192.0.2.12".to_owned()),
            (Some(1), "198.51.100.25".to_owned())
        ]
    );
}

#[test]
fn networks_clusters_and_images() {
    let vnet = Vnet::from_xml(&exchange(5).text()).unwrap();
    assert_eq!(
        (
            vnet.clusters.as_slice(),
            vnet.free_leases(),
            vnet.parent_network_id
        ),
        (&[0][..], 100, None)
    );
    assert!(vnet.permissions.other.r#use);
    let nets = client(243)
        .vnpool_info(PoolFilter::All, PoolRange::default())
        .unwrap();
    assert_eq!(
        nets.iter()
            .map(|net| (net.id, net.free_leases()))
            .collect::<Vec<_>>(),
        [(1, 99), (0, 97)]
    );
    let cluster = Cluster::from_xml(&exchange(4).text()).unwrap();
    assert_eq!(
        (cluster.vnets.as_slice(), cluster.datastores.as_slice()),
        (&[0, 1][..], &[0, 1, 2][..])
    );
    assert_eq!(cluster.template.get("RESERVED_CPU"), Some(""));
    let images = client(258)
        .imagepool_info(PoolFilter::All, PoolRange::default())
        .unwrap();
    assert_eq!(images.items[0].template.get("ONEKS_IMAGE"), Some("node"));
    assert!(
        images
            .iter()
            .all(|image| image.state.is_usable() && image.datastore_id == Some(1))
    );
    assert_eq!(images.items.last().unwrap().state, ImageState::Used);
}

#[test]
fn users_have_tokens_and_quotas() {
    let user = User::from_xml(&exchange(124).text()).unwrap();
    let token = &user.login_tokens[0];
    assert_eq!((token.expires, token.group), (Some(1_795_355_608), None));
    assert_eq!(token.token.expose(), exchange(123).text());
    let forever = client(244)
        .userpool_info()
        .unwrap()
        .into_iter()
        .find(|user| user.id == 0)
        .unwrap();
    assert_eq!(forever.login_tokens[0].expires, None);

    let user = User::from_xml(&exchange(235).text()).unwrap();
    assert_eq!(
        (
            user.id,
            user.groups.as_slice(),
            user.auth_driver.as_str(),
            user.enabled
        ),
        (2, &[1][..], "core", true)
    );
    let quota = &user.quotas.vms[0];
    assert_eq!(
        (quota.vms.limit, quota.vms.used, quota.vms.left(Limit::Default)),
        (Limit::Max(2.0), 2.0, Some(0.0))
    );
    assert_eq!((quota.memory.limit, quota.memory.used), (Limit::Default, 128.0));
    assert_eq!(
        (user.quotas.networks[0].id, user.quotas.networks[0].leases.used),
        (1, 1.0)
    );
    assert_eq!(user.default_quotas, Quotas::default());
}

#[test]
fn rights_of_a_group_and_the_part_of_a_front_end() {
    let rules = client(240).acl_info().unwrap();
    let granted = |group, resource| {
        rules
            .iter()
            .any(|rule: &Acl| rule.grants(2, &[group], resource, Right::Create, 0))
    };
    assert!(granted(1, Resource::Vm) && granted(1, Resource::Document) && granted(1, Resource::Vrouter));
    assert!(!granted(1, Resource::Net) && !granted(7, Resource::Vm));
    let raft = RaftStatus::from_xml(&exchange(3).text()).unwrap();
    assert!(raft.acts() && raft.server_id.is_none());
    assert_eq!(client(1).system_version().unwrap(), "7.5.80");
}
