//! A cloud with the template for handles, and what people do with handles.

use oneks::handle::offer;
use oneks_sandbox::{ALICE_PASSWORD, MALLORY_PASSWORD, Vm, VmState};
use opennebula::template::Template;

use crate::support::life::{Life, ONEADMIN};

/// Alice's session.
pub fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// Mallory's session.
pub fn mallory() -> String {
    format!("mallory:{MALLORY_PASSWORD}")
}

/// The driver of the clusters that handles ask for.
pub enum Driver {
    Dummy,
    Capone,
}

/// Makes the template, usable by everybody. Returns its id.
pub fn offer(life: &Life, driver: &Driver) -> u32 {
    let (catalog, _) = oneks::catalog::load(&life.service.profiles);
    let driver = match driver {
        Driver::Dummy => Some("dummy"),
        Driver::Capone => None,
    };
    let text = offer::offer()
        .unwrap()
        .vm_template(&catalog, driver)
        .to_text()
        .unwrap();
    let id = life.ask(ONEADMIN, "one.template.allocate", &[text.into()]);
    let id = u32::try_from(id.as_int().unwrap()).unwrap();
    let mut bits = vec![id.into()];
    bits.extend([1, 1, 0, 1, 0, 0, 1, 0, 0].map(opennebula::xmlrpc::Value::from));
    life.ask(ONEADMIN, "one.template.chmod", &bits);
    id
}

/// The inputs of a small cluster.
pub fn inputs(version: &str, workers: u32) -> String {
    format!(
        "ONEAPP_KUBERNETES_CLUSTER_NAME=\"demo\"\nONEAPP_KUBERNETES_CLUSTER_VERSION=\"{version}\"\n\
         ONEAPP_KUBERNETES_CONTROLPLANE_FLAVOUR=\"standalone\"\nONEAPP_KUBERNETES_NETWORK_PUBLIC=\"public\"\n\
         ONEAPP_KUBERNETES_NETWORK_PRIVATE=\"1\"\nONEAPP_KUBERNETES_STORAGE_IMAGES=\"1\"\n\
         ONEAPP_KUBERNETES_NODES_FLAVOUR=\"small\"\nONEAPP_KUBERNETES_NODES_COUNT=\"{workers}\"\n"
    )
}

/// Instantiates the template.
pub fn instantiate(life: &Life, session: &str, template: u32, inputs: &str, hold: bool) -> u32 {
    let params = [
        template.into(),
        "shop".into(),
        hold.into(),
        inputs.into(),
        false.into(),
    ];
    let vm = life.ask(session, "one.template.instantiate", &params);
    u32::try_from(vm.as_int().unwrap()).unwrap()
}

/// Writes attributes as a merge.
pub fn write(life: &Life, session: &str, vm: u32, attributes: &[(&str, &str)]) {
    let mut template = Template::new();
    for (name, value) in attributes {
        template.set(name, *value);
    }
    let text = template.to_text().unwrap();
    life.ask(session, "one.vm.update", &[vm.into(), text.into(), 1.into()]);
}

/// Replaces all that the user template says, as an editor does.
pub fn replace(life: &Life, session: &str, vm: u32, template: &Template) {
    let text = template.to_text().unwrap();
    life.ask(session, "one.vm.update", &[vm.into(), text.into(), 0.into()]);
}

/// An action.
pub fn act(life: &Life, session: &str, vm: u32, action: &str) {
    life.ask(session, "one.vm.action", &[action.into(), vm.into()]);
}

/// The VM.
pub fn vm(life: &Life, id: u32) -> Vm {
    let found = life.sandbox.vms().into_iter().find(|vm| vm.meta.id == id);
    found.unwrap_or_else(|| panic!("no VM {id}\n{}", life.report()))
}

/// An attribute of the handle.
pub fn says(life: &Life, id: u32, name: &str) -> Option<String> {
    vm(life, id).user_template.get(name).map(str::to_owned)
}

/// Where the VM is.
pub fn state(life: &Life, id: u32) -> VmState {
    vm(life, id).state
}

/// The cluster that the handle shows.
pub fn cluster(life: &Life, id: u32) -> Option<u32> {
    says(life, id, "ONEKS_CLUSTER_ID")?.parse().ok()
}

/// Lets things go on until the handle shows this state.
pub fn until_shown(life: &mut Life, id: u32, wanted: &str, limit: u64) {
    life.until(&format!("handle {id} shows {wanted}"), limit, |life| {
        says(life, id, "ONEKS_STATE").as_deref() == Some(wanted)
    });
}

/// A OneFlow service with a VM, as OneFlow makes it: the role is on hold, networks are NICs.
pub fn service(life: &Life, session: &str, template: u32, inputs: &str) -> (u32, u32) {
    let body = |nodes: &str| {
        let body = format!(
            "{{\"name\":\"web\",\"state\":15,\"ONEKS_TEMPLATE\":\"SERVICE\",\"roles\":[{{\"nodes\":[{nodes}]}}]}}"
        );
        format!("<TEMPLATE><NAME>web</NAME><BODY><![CDATA[{body}]]></BODY></TEMPLATE>")
    };
    let service = life.ask(session, "one.document.allocate", &[body("").into(), 100.into()]);
    let service = u32::try_from(service.as_int().unwrap()).unwrap();
    let more = format!(
        "{inputs}SERVICE_ID=\"{service}\"\nROLE_NAME=\"cluster\"\nNIC=[NETWORK_ID=\"0\"]\nNIC=[NETWORK_ID=\"1\"]\n"
    );
    let vm = instantiate(life, session, template, &more, true);
    let node = format!("{{\"deploy_id\":{vm}}}");
    life.ask(
        session,
        "one.document.update",
        &[service.into(), body(&node).into(), 0.into()],
    );
    (service, vm)
}
