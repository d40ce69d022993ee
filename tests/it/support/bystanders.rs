//! Objects whose names, tags or owner come near those of a cluster, and that nobody may touch.

use std::collections::BTreeMap;

use oneks_sandbox::{ALICE_PASSWORD, MALLORY_PASSWORD, Sandbox};
use opennebula::xmlrpc::Value;

use super::life::Life;

/// The bystanders of one cluster, and what they were like.
#[derive(Clone)]
pub struct Bystanders {
    ids: BTreeMap<&'static str, Vec<u32>>,
    before: Vec<String>,
}

impl Bystanders {
    /// Puts them around a cluster of alice's: some of her own, some of mallory's.
    pub fn put(life: &Life, cluster: u32) -> Self {
        let mut ids: BTreeMap<&'static str, Vec<u32>> = BTreeMap::new();
        let tag = format!(
            "ONEKS=[CLUSTER_ID=\"{cluster}\",GROUP_ID=\"{}\",TYPE=\"NODE\"]",
            cluster * 1000 + 1
        );
        let alice = format!("alice:{ALICE_PASSWORD}");
        let mallory = format!("mallory:{MALLORY_PASSWORD}");
        let mut make = |kind: &'static str, session: &str, method: &str, params: &[Value]| {
            let id = life.ask(session, method, params).as_int().unwrap();
            ids.entry(kind).or_default().push(u32::try_from(id).unwrap());
        };
        // A name alone makes no member of a cluster, and neither does a tag alone.
        let near = [
            (&alice, "web".to_owned(), ""),
            (&alice, format!("oneks-{cluster}-workers-abcde"), ""),
            (&alice, format!("oneks-{cluster}1-cp"), ""),
            (&alice, format!("oneks-{cluster}1-workers-0"), tag.as_str()),
            (&alice, "shop".to_owned(), tag.as_str()),
            (&mallory, format!("oneks-{cluster}-workers-zzzzz"), ""),
            (&mallory, "stall".to_owned(), tag.as_str()),
        ];
        for (session, name, tag) in near {
            let text = format!("NAME=\"{name}\"\nCPU=\"0.1\"\nMEMORY=\"64\"\n{tag}");
            make(
                "vm",
                session,
                "one.vm.allocate",
                &[text.clone().into(), false.into()],
            );
            make("template", session, "one.template.allocate", &[text.into()]);
        }
        let routers = [
            (&alice, format!("oneks-{cluster}1-cp")),
            (&alice, format!("oneks-{cluster}-lb2")),
            (&alice, format!("oneks-{cluster}")),
            (&mallory, format!("oneks-{cluster}-cp")),
            (&mallory, format!("oneks-{cluster}-lb")),
        ];
        for (session, name) in routers {
            let text = format!("NAME=\"{name}\"\nNIC=[NETWORK_ID=\"1\",FLOATING_IP=\"YES\"]");
            make("vrouter", session, "one.vrouter.allocate", &[text.into()]);
        }
        let reservations = [
            (&alice, format!("oneks-{cluster}1-lb")),
            (&alice, format!("oneks-{cluster}-vr-2")),
        ];
        for (session, name) in reservations {
            let text = format!("NAME=\"{name}\"\nSIZE=\"1\"");
            make("vn", session, "one.vn.reserve", &[0.into(), text.into()]);
        }
        let text = format!("NAME=\"oneks-{cluster}\"\nSPEC=\"{{}}\"\nDELETE=\"YES\"");
        make(
            "document",
            &alice,
            "one.document.allocate",
            &[text.into(), 100.into()],
        );
        let login = [
            "alice".into(),
            format!("oneks-{cluster}").into(),
            (-1).into(),
            (-1).into(),
        ];
        life.ask(&alice, "one.user.login", &login);
        // Until they are what they are going to be.
        life.sandbox.advance(120);
        let before = state(&life.sandbox, &ids);
        Self { ids, before }
    }

    /// Has mallory reserve networks under the very names that the cloud controller gives its own. Only once it has made
    /// them: it looks for networks by name among all that it may use, and would take hers.
    pub fn reserve(&mut self, life: &Life, cluster: u32) {
        let mallory = format!("mallory:{MALLORY_PASSWORD}");
        for part in ["lb", "vr"] {
            let text = format!("NAME=\"oneks-{cluster}-{part}\"\nSIZE=\"1\"");
            let id = life.ask(&mallory, "one.vn.reserve", &[0.into(), text.into()]);
            let id = u32::try_from(id.as_int().unwrap()).unwrap();
            self.ids.entry("vn").or_default().push(id);
        }
        self.before = state(&life.sandbox, &self.ids);
    }

    /// What has changed about them.
    pub fn changes(&self, sandbox: &Sandbox) -> Vec<String> {
        let now = state(sandbox, &self.ids);
        let lost = self.before.iter().filter(|line| !now.contains(line));
        lost.cloned().collect()
    }

    /// Is this object, of the kind that the method's name says, one of them?
    pub fn has(&self, method: &str, id: i64) -> bool {
        let kind = method.split('.').nth(1).unwrap_or_default();
        self.ids
            .get(kind)
            .is_some_and(|ids| ids.iter().any(|known| i64::from(*known) == id))
    }
}

/// Everything about them, one line each.
fn state(sandbox: &Sandbox, ids: &BTreeMap<&'static str, Vec<u32>>) -> Vec<String> {
    let is = |kind: &str, id: u32| ids.get(kind).is_some_and(|ids| ids.contains(&id));
    let mut lines = Vec::new();
    for vm in sandbox.vms().iter().filter(|vm| is("vm", vm.meta.id)) {
        let (state, lcm) = (vm.state, vm.lcm_state);
        lines.push(format!(
            "VM {:?} {state:?} {lcm:?} {:?} {:?}",
            vm.meta, vm.template, vm.user_template
        ));
    }
    for template in sandbox.templates().iter().filter(|t| is("template", t.meta.id)) {
        lines.push(format!("template {:?} {:?}", template.meta, template.template));
    }
    for router in sandbox.vrouters().iter().filter(|r| is("vrouter", r.meta.id)) {
        lines.push(format!(
            "router {:?} {:?} {:?}",
            router.meta, router.vms, router.template
        ));
    }
    for network in sandbox.vnets().iter().filter(|n| is("vn", n.meta.id)) {
        lines.push(format!("network {:?} {:?}", network.meta, network.ranges));
    }
    for document in sandbox.documents().iter().filter(|d| is("document", d.meta.id)) {
        lines.push(format!("document {:?} {:?}", document.meta, document.template));
    }
    // Named like a cluster, but not numbered like its credentials.
    let foreign = |token: &&String| token.starts_with("oneks-") && token.matches('-').count() == 1;
    lines.extend(
        sandbox
            .tokens("alice")
            .keys()
            .filter(foreign)
            .map(|t| format!("token {t}")),
    );
    lines
}
