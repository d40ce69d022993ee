//! Handles that OneFlow makes: one VM in a service that stays on hold.

use oneks_sandbox::VmState;

use super::support::{
    Driver, act, alice, cluster, inputs, mallory, offer, service, state, until_shown, write,
};
use crate::support::life::Life;

fn name(life: &Life, id: u32) -> String {
    let found = life.sandbox.documents().into_iter().find(|d| d.meta.id == id);
    found.unwrap().meta.name
}

fn without_networks() -> String {
    let inputs = inputs("v1.33.7", 1);
    let lines = inputs.split_inclusive('\n');
    lines.filter(|line| !line.contains("_NETWORK_")).collect()
}

#[test]
fn a_service_shows_progress_and_endpoint_in_its_name_and_its_end_is_the_cluster_s() {
    let mut life = Life::plain();
    let template = offer(&life, &Driver::Dummy);
    life.begin_here();
    let (web, vm) = service(&life, &alice(), template, &without_networks());
    until_shown(&mut life, vm, "PROVISIONING", 60);
    assert_eq!(name(&life, web), "web (PROVISIONING)");
    until_shown(&mut life, vm, "RUNNING", 600);
    let id = cluster(&life, vm).unwrap();
    let endpoint = life.status(id).endpoint.unwrap().host;
    assert_eq!(name(&life, web), format!("web ({endpoint})"));
    write(&life, &alice(), vm, &[("ONEKS_GROUP_WORKERS", "2")]);
    until_shown(&mut life, vm, "SCALING", 60);
    until_shown(&mut life, vm, "RUNNING", 600);
    // Reading the service once, and two names.
    let calls: Vec<String> = life.made.iter().flat_map(|m| m.methods.clone()).collect();
    assert_eq!(calls.iter().filter(|m| *m == "one.document.rename").count(), 2);
    // `oneflow delete` terminates the VM, and the document of the service goes.
    act(&life, &alice(), vm, "terminate");
    life.ask(&alice(), "one.document.delete", &[web.into()]);
    life.until_state(id, "GONE", 600);
    life.pass_time(900);
    assert_eq!(state(&life, vm), VmState::Done);
    assert_eq!(life.left_over(), Vec::<String>::new());
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn a_handle_renames_no_document_but_its_service() {
    let mut life = Life::plain();
    let template = offer(&life, &Driver::Dummy);
    let other = life.create(&alice(), "mine", &crate::plain_life::spec(0));
    let (his, _) = service(&life, &mallory(), template, &without_networks());
    let (hers, _) = service(&life, &alice(), template, &without_networks());
    life.pass_time(300);
    for document in [other, his, hers] {
        let before = name(&life, document);
        let (_, vm) = service(&life, &alice(), template, &without_networks());
        write(&life, &alice(), vm, &[("SERVICE_ID", &document.to_string())]);
        until_shown(&mut life, vm, "RUNNING", 600);
        assert_eq!(name(&life, document), before);
    }
}
