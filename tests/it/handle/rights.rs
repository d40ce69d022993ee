//! What others, and copies, can't reach.

use oneks::handle::door::ATTRIBUTE;
use oneks_sandbox::VmState;
use opennebula::template::Template;

use super::support::{
    Driver, act, alice, cluster, inputs, instantiate, mallory, offer, says, state, until_shown, vm, write,
};
use crate::support::life::{Life, ONEADMIN};

struct Scene {
    life: Life,
    template: u32,
    /// Alice's handle and cluster.
    hers: (u32, u32),
    /// Mallory's.
    his: (u32, u32),
}

fn scene() -> Scene {
    let mut life = Life::plain();
    let template = offer(&life, &Driver::Dummy);
    let mut made = |session: &str| {
        let handle = instantiate(&life, session, template, &inputs("v1.33.7", 1), false);
        until_shown(&mut life, handle, "RUNNING", 600);
        (handle, cluster(&life, handle).unwrap())
    };
    let (hers, his) = (made(&alice()), made(&mallory()));
    life.pass_time(30);
    life.begin_here();
    Scene {
        life,
        template,
        hers,
        his,
    }
}

impl Scene {
    /// Everything of alice's, in words.
    fn of_hers(&self) -> Vec<String> {
        let sandbox = &self.life.sandbox;
        let documents = sandbox
            .documents()
            .into_iter()
            .filter(|d| d.meta.uname == "alice");
        let mut all: Vec<String> = documents
            .map(|d| format!("{} {:?}", d.meta.id, d.template.to_text()))
            .collect();
        let vms = sandbox.vms().into_iter().filter(|vm| vm.meta.uname == "alice");
        all.extend(vms.map(|vm| format!("{} {:?} {:?}", vm.meta.id, vm.state, vm.user_template.to_text())));
        all
    }

    /// Does a deed of mallory's and lets an hour pass; nothing of alice's may have changed but the time of probes.
    fn nothing_of_hers_changes(&mut self, what: &str, deed: impl FnOnce(&mut Self)) {
        let before = self.of_hers();
        deed(self);
        self.life.pass_time(1500);
        assert_eq!(self.of_hers(), before, "{what}");
        let calls = self.life.hook_calls();
        let acts = |method: &str| !method.contains("info") && !method.starts_with("one.document.info");
        let in_her_name: Vec<_> = calls
            .iter()
            .filter(|c| c.user == "alice" && acts(&c.method))
            .collect();
        assert!(in_her_name.is_empty(), "{what}: {in_her_name:?}");
        assert_eq!(self.life.errors, Vec::<String>::new(), "{what}");
    }

    fn shown(&self, handle: u32) -> String {
        says(&self.life, handle, "ONEKS_SHOWN").unwrap()
    }
}

#[test]
fn attributes_that_name_her_cluster_reach_nothing() {
    let mut scene = scene();
    let (her_handle, her_cluster) = scene.hers;
    let (his_handle, his_cluster) = scene.his;
    let her_record = scene.shown(her_handle);
    let forged = scene.shown(his_handle).replace(
        &format!("\"cluster\":{his_cluster}"),
        &format!("\"cluster\":{her_cluster}"),
    );
    let copied = her_record.replace(&format!("\"vm\":{her_handle}"), &format!("\"vm\":{his_handle}"));
    let id = her_cluster.to_string();
    for record in [her_record, forged, copied] {
        scene.nothing_of_hers_changes(&record.clone(), |s| {
            let attributes = [
                ("ONEKS_CLUSTER_ID", id.as_str()),
                ("ONEKS_GROUP_WORKERS", "7"),
                ("ONEKS_KUBERNETES_VERSION", "v1.34.2"),
                ("ONEKS_ACTION", "recover"),
                ("ONEKS_SHOWN", record.as_str()),
            ];
            // Not first, so that it is looked at at once.
            write(&s.life, &mallory(), his_handle, &attributes);
        });
    }
    // A new VM that claims all from its birth, is released and ended.
    let template = scene.template;
    scene.nothing_of_hers_changes("a handle of his that claims hers", |s| {
        let record = format!("{{\\\"vm\\\":{},\\\"cluster\\\":{her_cluster}}}", s.life.sandbox.vms().len());
        let claims = format!(
            "ONEKS_SHOWN=\"{record}\"\nONEKS_CLUSTER_ID=\"{her_cluster}\"\nONEKS_REPLACES=\"{her_handle} 00\"\n"
        );
        let vm = instantiate(&s.life, &mallory(), template, &claims, false);
        s.life.pass_time(60);
        act(&s.life, &mallory(), vm, "terminate");
    });
}

#[test]
fn a_document_of_his_that_names_her_handle_reaches_nothing() {
    let mut scene = scene();
    let (her_handle, _) = scene.hers;
    let (_, his_cluster) = scene.his;
    scene.nothing_of_hers_changes("HANDLE", |s| {
        s.life
            .set(&mallory(), his_cluster, ATTRIBUTE, &her_handle.to_string());
        s.life.set(&mallory(), his_cluster, "RECOVER", "1");
        s.life.pass_time(60);
        s.life.set(&mallory(), his_cluster, "DELETE", "YES");
    });
    // The handle that nothing names any more goes with its cluster all the same.
    assert_eq!(state(&scene.life, scene.his.0), VmState::Done);
}

#[test]
fn a_document_reaches_no_other_machine_of_its_owner() {
    let mut scene = scene();
    let (her_handle, her_cluster) = scene.hers;
    let life = &scene.life;
    let text = "NAME=\"mine\"\nCPU=\"0.1\"\nMEMORY=\"64\"\n";
    let other = life.ask(&alice(), "one.vm.allocate", &[text.into(), true.into()]);
    let other = u32::try_from(other.as_int().unwrap()).unwrap();
    let second = instantiate(life, &alice(), scene.template, &inputs("v1.33.7", 1), true);
    until_shown(&mut scene.life, second, "RUNNING", 600);
    let second_cluster = cluster(&scene.life, second).unwrap();
    // Whoever may write her document names her other machines as its handle.
    for victim in [other, second] {
        let before = vm(&scene.life, victim).user_template;
        scene
            .life
            .set(&alice(), her_cluster, ATTRIBUTE, &victim.to_string());
        scene
            .life
            .set(&alice(), her_cluster, "RECOVER", &victim.to_string());
        scene.life.pass_time(900);
        assert_eq!(vm(&scene.life, victim).user_template, before, "VM {victim}");
    }
    scene.life.set(&alice(), her_cluster, "DELETE", "YES");
    scene.life.until_state(her_cluster, "GONE", 600);
    scene.life.pass_time(900);
    assert_eq!(state(&scene.life, other), VmState::Hold);
    assert_eq!(state(&scene.life, second), VmState::Hold);
    assert_eq!(scene.life.state(second_cluster), "RUNNING");
    assert_eq!(state(&scene.life, her_handle), VmState::Done);
}

#[test]
fn a_copy_of_a_handle_is_a_new_handle_and_no_second_door() {
    let mut scene = scene();
    let (her_handle, her_cluster) = scene.hers;
    // All that the handle says, in a template, with the inputs that such a template asks for.
    let mut copy: Template = vm(&scene.life, her_handle).user_template;
    copy.set("CPU", "0.01");
    copy.set("MEMORY", "1");
    copy.set("NAME", "saved");
    copy.remove("TEMPLATE_ID");
    let text = copy.to_text().unwrap();
    let saved = scene.life.ask(&alice(), "one.template.allocate", &[text.into()]);
    let saved = u32::try_from(saved.as_int().unwrap()).unwrap();
    let before = scene.life.attribute(her_cluster, "SPEC");
    let more = "ONEAPP_KUBERNETES_NETWORK_PUBLIC=\"0\"\nONEAPP_KUBERNETES_NETWORK_PRIVATE=\"1\"\n";
    let new = instantiate(&scene.life, &alice(), saved, more, false);
    scene.life.until("a cluster of its own", 600, |life| {
        cluster(life, new).is_some_and(|id| id != her_cluster)
            && says(life, new, "ONEKS_STATE").as_deref() == Some("RUNNING")
    });
    write(&scene.life, &alice(), new, &[("ONEKS_GROUP_WORKERS", "2")]);
    scene.life.pass_time(300);
    act(&scene.life, &alice(), new, "terminate");
    scene.life.pass_time(300);
    assert_eq!(scene.life.attribute(her_cluster, "SPEC"), before);
    assert_eq!(scene.life.state(her_cluster), "RUNNING");
    assert_eq!(
        says(&scene.life, her_handle, "ONEKS_STATE").as_deref(),
        Some("RUNNING")
    );
    assert_eq!(
        scene.life.attribute(her_cluster, ATTRIBUTE),
        Some(her_handle.to_string())
    );
    // A clone of the document is a cluster of its own too, and has no handle.
    let clone = scene.life.ask(
        &alice(),
        "one.document.clone",
        &[her_cluster.into(), "clone".into()],
    );
    let clone = u32::try_from(clone.as_int().unwrap()).unwrap();
    scene.life.until_state(clone, "RUNNING", 600);
    scene.life.set(&alice(), clone, "DELETE", "YES");
    scene.life.until_state(clone, "GONE", 600);
    assert_eq!(state(&scene.life, her_handle), VmState::Hold);
    assert_eq!(cluster(&scene.life, her_handle), Some(her_cluster));
}

#[test]
fn what_changes_hands_is_no_handle_until_it_is_given_back() {
    let mut scene = scene();
    let (her_handle, her_cluster) = scene.hers;
    let give = |life: &Life, method: &str, id: u32, to: i32| {
        life.ask(ONEADMIN, method, &[id.into(), to.into(), (-1).into()]);
    };
    let spec = scene.life.attribute(her_cluster, "SPEC");
    give(&scene.life, "one.vm.chown", her_handle, 3);
    write(
        &scene.life,
        &mallory(),
        her_handle,
        &[("ONEKS_GROUP_WORKERS", "9")],
    );
    scene.life.pass_time(900);
    assert_eq!(scene.life.attribute(her_cluster, "SPEC"), spec);
    assert_eq!(scene.life.state(her_cluster), "RUNNING");
    give(&scene.life, "one.vm.chown", her_handle, 2);
    write(&scene.life, &alice(), her_handle, &[("ONEKS_GROUP_WORKERS", "2")]);
    scene.life.pass_time(60);
    assert_ne!(scene.life.attribute(her_cluster, "SPEC"), spec);
    until_shown(&mut scene.life, her_handle, "RUNNING", 600);
    // The document goes, and the handle stays behind.
    give(&scene.life, "one.document.chown", her_cluster, 3);
    scene.life.pass_time(60);
    act(&scene.life, &alice(), her_handle, "terminate");
    scene.life.pass_time(900);
    assert_eq!(scene.life.attribute(her_cluster, "DELETE"), None);
    assert_eq!(scene.life.errors, Vec::<String>::new());
}

#[test]
fn a_machine_with_disks_or_a_past_asks_for_no_cluster() {
    let mut scene = scene();
    let image = scene.life.sandbox.images()[0].meta.id;
    let text = format!("NAME=\"m\"\nCPU=\"0.1\"\nMEMORY=\"64\"\nDISK=[IMAGE_ID=\"{image}\"]\n");
    let disk = scene
        .life
        .ask(ONEADMIN, "one.vm.allocate", &[text.into(), true.into()]);
    let text = "NAME=\"n\"\nCPU=\"0.1\"\nMEMORY=\"64\"\n";
    let past = scene
        .life
        .ask(&alice(), "one.vm.allocate", &[text.into(), false.into()]);
    scene.life.pass_time(120);
    let before = scene.life.sandbox.documents().len();
    for (session, vm) in [(ONEADMIN.to_owned(), disk), (alice(), past)] {
        let vm = u32::try_from(vm.as_int().unwrap()).unwrap();
        let attributes = [
            ("ONEKS_HANDLE", "YES"),
            ("ONEAPP_KUBERNETES_NETWORK_PUBLIC", "0"),
            ("ONEAPP_KUBERNETES_NETWORK_PRIVATE", "1"),
        ];
        write(&scene.life, &session, vm, &attributes);
        scene.life.pass_time(60);
        let said = says(&scene.life, vm, "ERROR").unwrap_or_default();
        assert!(said.contains("no disks"), "{said}");
    }
    assert_eq!(scene.life.sandbox.documents().len(), before);
}
