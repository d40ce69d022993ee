//! Calls that were not recorded: parameters in the order in which oned's source reads them.

use std::sync::{Arc, Mutex};

use opennebula::calls::{LockLevel, PoolFilter, PoolRange, TokenLifetime, UpdateMode, VmStateFilter};
use opennebula::objects::VmState;
use opennebula::xmlrpc::{Value, decode_call};
use opennebula::{Client, Session, Transport, TransportError};

/// Keeps the request and answers nothing useful.
#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Transport for Recorder {
    fn post(&self, body: &str) -> Result<String, TransportError> {
        self.0.lock().unwrap().push(body.to_owned());
        Err(TransportError::Http {
            endpoint: String::new(),
            status: 404,
        })
    }
}

/// Method and parameters that a call sends, without the session.
fn sent(call: impl FnOnce(&Client)) -> (String, Vec<Value>) {
    let recorder = Arc::new(Recorder::default());
    call(&Client::new(
        recorder.clone(),
        Session::parse("alice:secret").unwrap(),
    ));
    let bodies = recorder.0.lock().unwrap();
    let mut call = decode_call(&bodies[0]).unwrap();
    assert_eq!(
        (bodies.len(), call.params.remove(0).as_str()),
        (1, Some("alice:secret"))
    );
    (call.method, call.params)
}

macro_rules! check {
    ($($call:ident ( $($argument:expr),* ) => $method:literal [ $($value:expr),* ];)+) => {
        $(
            let (method, params) = sent(|client| drop(client.$call($($argument),*)));
            assert_eq!(method, concat!("one.", $method));
            let expected: Vec<Value> = vec![$(Value::from($value)),*];
            assert!(params == expected, "{method}: {params:?}");
        )+
    };
}

#[test]
fn parameters_in_the_order_of_the_source() {
    let range = PoolRange {
        start: Some(5),
        end: None,
    };
    check! {
        hooklog_info(5, true) => "hooklog.info" [5, -1, -1, -1];
        hooklog_info(5, false) => "hooklog.info" [5, -1, -1, 0];
        template_chown(5, None, Some(7)) => "template.chown" [5, -1, 7];
        grouppool_info() => "grouppool.info" [];
        vm_deploy(7, 2, true, Some(100), "T") => "vm.deploy" [7, 2, true, 100, "T"];
        vm_deploy(7, 2, false, None, "") => "vm.deploy" [7, 2, false, -1, ""];
        vm_exec(7, "/bin/sh", b"") => "vm.exec" [7, "/bin/sh", ""];
        vmpool_info(PoolFilter::User(3), range, VmStateFilter::Any) => "vmpool.info" [3, 5, -1, -2];
        vmpool_infoextended(PoolFilter::Mine, range, VmStateFilter::State(VmState::Poweroff))
            => "vmpool.infoextended" [-3, 5, -1, 8];
        template_update(7, "T", UpdateMode::Replace) => "template.update" [7, "T", 0];
        vrouter_instantiate(7, 2, None, "vr-%i", true, "X") => "vrouter.instantiate" [7, 2, -1, "vr-%i", true, "X"];
        vrouter_attachnic(7, "NIC=[]") => "vrouter.attachnic" [7, "NIC=[]"];
        vn_reserve(7, "SIZE=1") => "vn.reserve" [7, "SIZE=1"];
        vn_delete(7) => "vn.delete" [7];
        vn_hold(7, "L") => "vn.hold" [7, "L"];
        vn_release(7, "L") => "vn.release" [7, "L"];
        image_delete(7, true) => "image.delete" [7, true];
        image_update(7, "T", UpdateMode::Merge) => "image.update" [7, "T", 1];
        document_lock(7, LockLevel::All, false) => "document.lock" [7, 4, false];
        document_chown(7, None, Some(3)) => "document.chown" [7, -1, 3];
        user_login("bob", None, TokenLifetime::Unlimited, Some(100)) => "user.login" ["bob", "", -1, 100];
        host_info(7, false) => "host.info" [7, false];
        vmgroup_info(7, true) => "vmgroup.info" [7, true];
        vmgroup_delete(7) => "vmgroup.delete" [7];
        hook_update(7, "T", UpdateMode::Merge) => "hook.update" [7, "T", 1];
        hookpool_info() => "hookpool.info" [];
        marketapp_info(7, false) => "marketapp.info" [7, false];
        marketapppool_info(PoolFilter::PrimaryGroup, PoolRange::default()) => "marketapppool.info" [-4, -1, -1];
        templatepool_info(PoolFilter::MineAndGroups, PoolRange::default()) => "templatepool.info" [-1, -1, -1];
        system_config() => "system.config" [];
    }
}

#[test]
fn no_ids_need_no_call() {
    let recorder = Arc::new(Recorder::default());
    let client = Client::new(recorder.clone(), Session::parse("alice:secret").unwrap());
    assert!(client.vmpool_infoset(&[], true).unwrap().items.is_empty());
    assert!(recorder.0.lock().unwrap().is_empty());
}
