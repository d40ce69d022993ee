//! What OpenNebula answers.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oneks::convert;
use opennebula::calls::{PoolFilter, PoolRange, TokenLifetime, VmStateFilter};
use opennebula::error::Error;
use opennebula::objects::{Acl, Pool, Resource, Right};
use opennebula::transport::{Transport, TransportError};
use opennebula::xmlrpc::{Response, Value, decode_call, decode_response, encode_response};
use opennebula::{Client, Session, Vm};

use crate::{SECRET, keeps_secret};

/// The body of a response, or of a request, as it comes over the wire.
pub(crate) fn response(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = decode_call(&text);
    let Ok(Response::Success { value }) = decode_response(&text) else {
        return;
    };
    if comparable(&value) {
        let again = decode_response(&encode_response(&[true.into(), value.clone(), 0.into()]));
        let same = again == Ok(Response::Success { value: value.clone() });
        assert!(same, "it reads otherwise once written");
    }
    let asked = Asked::new(&text, &text);
    let client = &asked.client;
    asked.ok(client.vm_allocate("", false));
    asked.ok(client.system_version());
    let token = asked.ok(client.user_login("a", None, TokenLifetime::Unlimited, None));
    drop(token);
    if let Value::String(xml) = value {
        read(&asked, &xml);
    }
}

/// The XML of an object or pool, which is the result of a call.
pub(crate) fn object(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let answer = encode_response(&[true.into(), text.clone().into(), 0.into()]);
    read(&Asked::new(&answer, &text), &text);
}

/// Without numbers that differ from themselves, and without characters that XML can't carry.
fn comparable(value: &Value) -> bool {
    let carriable = |text: &str| {
        text.chars().all(
            |c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..),
        )
    };
    match value {
        Value::Double(_) => false,
        Value::String(text) => carriable(text),
        Value::Array(items) => items.iter().all(comparable),
        Value::Struct(members) => members
            .iter()
            .all(|(name, value)| carriable(name) && comparable(value)),
        Value::Int(_) | Value::Bool(_) | Value::Nil => true,
    }
}

/// One answer to every call.
struct Always(String, Arc<AtomicUsize>);

impl Transport for Always {
    fn post(&self, _: &str) -> Result<String, TransportError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(self.0.clone())
    }
}

/// Somebody who asks, and gets always the same answer.
struct Asked<'a> {
    client: Client,
    /// What the answer says, as it was before it was put into XML.
    said: &'a str,
    calls: Arc<AtomicUsize>,
}

impl<'a> Asked<'a> {
    fn new(answer: &str, said: &'a str) -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let session = Session::parse(&format!("a:{SECRET}")).unwrap();
        let client = Client::new(Always(answer.to_owned(), Arc::clone(&calls)), session);
        Self {
            client: client.with_sleep(|_| panic!("it waits, although there was an answer")),
            said,
            calls,
        }
    }

    /// What was read. It took one call, and neither that nor an error shows what is secret.
    fn ok<T: Debug>(&self, answer: Result<T, Error>) -> Option<T> {
        assert_eq!(self.calls.swap(0, Ordering::Relaxed), 1, "calls for one answer");
        if let Err(error) = &answer {
            keeps_secret(self.said, &error.to_string());
        }
        if answer.is_err() || self.said.contains(SECRET) {
            keeps_secret(self.said, &format!("{answer:?}"));
        }
        answer.ok()
    }
}

/// Makes the call whose answer has this root. Any other call would see a wrong root and no more.
fn read(asked: &Asked<'_>, xml: &str) {
    let client = &asked.client;
    let (all, filter) = (PoolRange::default(), PoolFilter::All);
    let root = xml.split_once('<').map_or("", |(_, rest)| rest);
    let root = root
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .next();
    match root.unwrap_or_default() {
        "VM" => asked.ok(client.vm_info(1, false)).iter().for_each(read_vm),
        "VM_POOL" => {
            if let Some(pool) = asked.ok(client.vmpool_infoextended(filter, all, VmStateFilter::NotDone)) {
                pool.iter().for_each(read_vm);
                read_broken(&pool);
            }
        }
        "DOCUMENT" => drop(asked.ok(client.document_info(1, false))),
        "DOCUMENT_POOL" => asked
            .ok(client.documentpool_info(filter, all, 120))
            .iter()
            .for_each(read_broken),
        "VROUTER" => asked
            .ok(client.vrouter_info(1, false))
            .iter()
            .for_each(|router| drop(convert::router(router))),
        "VROUTER_POOL" => asked
            .ok(client.vrouterpool_info(filter, all))
            .iter()
            .for_each(read_broken),
        "VMTEMPLATE" => asked
            .ok(client.template_info(1, false, false))
            .iter()
            .for_each(|template| drop(convert::template(template))),
        "VMTEMPLATE_POOL" => asked
            .ok(client.templatepool_info(filter, all))
            .iter()
            .for_each(read_broken),
        "VNET" => asked
            .ok(client.vn_info(1, false))
            .iter()
            .for_each(|network| drop(convert::reservation(network))),
        "VNET_POOL" => asked
            .ok(client.vnpool_info(filter, all))
            .iter()
            .for_each(read_broken),
        "IMAGE" => drop(asked.ok(client.image_info(1, false))),
        "IMAGE_POOL" => drop(asked.ok(client.imagepool_info(filter, all))),
        "CLUSTER" => drop(asked.ok(client.cluster_info(1, false))),
        "CLUSTER_POOL" => drop(asked.ok(client.clusterpool_info())),
        "DATASTORE" => drop(asked.ok(client.datastore_info(1, false))),
        "DATASTORE_POOL" => drop(asked.ok(client.datastorepool_info())),
        "HOST" => drop(asked.ok(client.host_info(1, false))),
        "HOST_POOL" => drop(asked.ok(client.hostpool_info())),
        "HOOK" => drop(asked.ok(client.hook_info(1, false))),
        "HOOK_POOL" => drop(asked.ok(client.hookpool_info())),
        "MARKETPLACEAPP" => drop(asked.ok(client.marketapp_info(1, false))),
        "MARKETPLACEAPP_POOL" => drop(asked.ok(client.marketapppool_info(filter, all))),
        "VM_GROUP" => drop(asked.ok(client.vmgroup_info(1, false))),
        "VM_GROUP_POOL" => drop(asked.ok(client.vmgrouppool_info(filter, all))),
        "USER" => drop(asked.ok(client.user_info(None, false))),
        "USER_POOL" => drop(asked.ok(client.userpool_info())),
        "GROUP" => drop(asked.ok(client.group_info(1, false))),
        "RAFT" => drop(asked.ok(client.zone_raftstatus())),
        "ACL_POOL" => asked.ok(client.acl_info()).iter().flatten().for_each(read_rule),
        _ => drop(asked.ok(client.system_config())),
    }
}

fn read_vm(vm: &Vm) {
    let seen = convert::vm(vm, Some(1));
    assert_eq!(seen.id, vm.id);
    if let Some(output) = seen.command.and_then(|c| c.output) {
        // Lossy UTF-8 makes three bytes of one at most.
        assert!(output.stdout.len() <= 3 * 256 * 1024 && output.stderr.len() <= 3 * 256 * 1024);
    }
}

fn read_rule(rule: &Acl) {
    let _ = rule.grants(2, &[1], Resource::Vm, Right::Create, 0);
}

fn read_broken<T>(pool: &Pool<T>) {
    for (id, reason) in &pool.broken {
        assert!(!reason.is_empty() && reason.len() < 200, "{id:?}");
    }
}
