//! VM templates and what becomes of them, images, changes of a VM's configuration.

use oneks_sandbox::{Config, ImageState, Sandbox, Timings, VmState};

use crate::support::{
    ADMIN, ALICE, MALLORY, act, ask, cloud, code, element, furnish, id, new_vm, number, refused, running_vm,
    state, states, text,
};

fn template(cloud: &Sandbox, more: &str) -> u32 {
    let text = format!("NAME=\"t\"\nCPU=1\nMEMORY=128\n{more}");
    id(cloud, ALICE, "one.template.allocate", &[text.into()])
}

#[test]
fn a_vm_takes_what_its_template_and_the_caller_say() {
    let cloud = cloud();
    let t = template(
        &cloud,
        "DISK=[IMAGE_ID=1]\nMINE=\"template\"\nOTHER=\"template\"\nCONTEXT=[A=\"$NAME\",B=\"$MINE\"]",
    );
    let vm = id(
        &cloud,
        ALICE,
        "one.template.instantiate",
        &[
            number(t),
            "name".into(),
            true.into(),
            "MINE=\"caller\"\nCPU=2".into(),
        ],
    );
    let vm = cloud.vm(vm).unwrap();
    assert_eq!(vm.meta.name, "name");
    assert_eq!(vm.state, VmState::Hold);
    assert_eq!(vm.template.get("CPU"), Some("2"));
    assert_eq!(vm.user_template.get("MINE"), Some("caller"));
    assert_eq!(vm.user_template.get("OTHER"), Some("template"));
    assert_eq!(vm.template.get("TEMPLATE_ID"), Some(t.to_string().as_str()));
    assert_eq!(vm.template.get_in("CONTEXT", "A"), Some("name"));
    assert_eq!(vm.template.get_in("CONTEXT", "B"), Some("caller"));
    assert_eq!(vm.template.get_in("DISK", "IMAGE"), Some("oneks-node"));
    assert!(cloud.images()[1].vms.contains(&vm.meta.id));
    act(&cloud, "terminate", vm.meta.id);
    assert!(cloud.images()[1].vms.is_empty());
    let unnamed = id(&cloud, ALICE, "one.template.instantiate", &[number(t), "".into()]);
    assert_eq!(cloud.vm(unnamed).unwrap().meta.name, format!("t-{unnamed}"));
    assert_eq!(
        code(
            &cloud,
            MALLORY,
            "one.template.instantiate",
            &[number(t), "".into()]
        ),
        512
    );
    assert_eq!(
        code(&cloud, ALICE, "one.template.instantiate", &[99.into(), "".into()]),
        1024
    );
    ask(&cloud, ALICE, "one.template.delete", &[number(t)]);
    assert!(cloud.templates().is_empty());
}

#[test]
fn images_are_used_and_can_be_missing() {
    let cloud = cloud();
    let vm = "NAME=\"a\"\nCPU=1\nMEMORY=1\nDISK=[IMAGE_ID=99]";
    let (code, message) = refused(&cloud, ALICE, "one.vm.allocate", &[vm.into()]);
    assert_eq!(
        (code, message.as_str()),
        (8192, "[one.vm.allocate] Image with ID: 99 does not exist")
    );
    let pool = text(
        &cloud,
        ALICE,
        "one.imagepool.info",
        &[(-2).into(), (-1).into(), (-1).into()],
    );
    assert_eq!(pool.matches("<ONEKS_IMAGE>").count(), 3);
    let xml = text(&cloud, ALICE, "one.image.info", &[0.into()]);
    assert_eq!(element(&xml, "ONEKS_IMAGE").as_deref(), Some("seed"));
    assert_eq!(self::code(&cloud, ALICE, "one.image.delete", &[0.into()]), 512);
    let used = new_vm(&cloud, "a", "DISK=[IMAGE_ID=0]");
    assert_eq!(
        self::code(&cloud, ADMIN, "one.image.delete", &[0.into()]),
        2048,
        "in use"
    );
    act(&cloud, "terminate", used);
    ask(&cloud, ADMIN, "one.image.delete", &[0.into()]);
}

#[test]
fn a_vm_waits_for_the_copy_of_its_image() {
    let config = Config {
        timings: Timings {
            image: 40,
            ..Timings::default()
        },
        ..Config::default()
    };
    let cloud = furnish(Sandbox::new(config));
    let image = id(
        &cloud,
        ALICE,
        "one.image.allocate",
        &[
            "NAME=\"mine\"\nTYPE=\"DATABLOCK\"\nSIZE=10".into(),
            1.into(),
            false.into(),
        ],
    );
    let of = |cloud: &Sandbox| {
        let images = cloud.images();
        images.iter().find(|found| found.meta.id == image).unwrap().state
    };
    assert_eq!(of(&cloud), ImageState::Locked);
    cloud.listen();
    let vm = new_vm(&cloud, "a", &format!("DISK=[IMAGE_ID={image}]"));
    assert_eq!(state(&cloud, vm), "CLONING");
    cloud.advance(80);
    assert_eq!(
        states(&cloud, vm),
        [
            "CLONING/LCM_INIT",
            "PENDING/LCM_INIT",
            "ACTIVE/LCM_INIT",
            "ACTIVE/PROLOG",
            "ACTIVE/BOOT",
            "ACTIVE/RUNNING"
        ]
    );
    assert_eq!(of(&cloud), ImageState::Used);
}

#[test]
fn the_context_of_a_vm_can_be_changed() {
    let cloud = cloud();
    let held = id(
        &cloud,
        ALICE,
        "one.vm.allocate",
        &[
            "NAME=\"a\"\nCPU=1\nMEMORY=1\nCONTEXT=[A=\"1\"]".into(),
            true.into(),
        ],
    );
    let context = |vm: u32, key: &str| {
        let vm = cloud.vm(vm).unwrap();
        vm.template.get_in("CONTEXT", key).map(str::to_owned)
    };
    ask(
        &cloud,
        ALICE,
        "one.vm.updateconf",
        &[number(held), "CONTEXT=[B=\"2\"]".into(), 1.into()],
    );
    assert_eq!(
        (context(held, "A"), context(held, "B")),
        (Some("1".into()), Some("2".into()))
    );
    let bare = new_vm(&cloud, "b", "");
    let (code, _) = refused(
        &cloud,
        ALICE,
        "one.vm.updateconf",
        &[number(bare), "CONTEXT=[B=\"2\"]".into(), 1.into()],
    );
    assert_eq!(code, 8192, "a VM without context gets none");
    let running = running_vm(&cloud, "c", "CONTEXT=[A=\"1\"]");
    cloud.listen();
    ask(
        &cloud,
        ALICE,
        "one.vm.updateconf",
        &[number(running), "CONTEXT=[A=\"3\"]".into(), 1.into()],
    );
    cloud.advance(5);
    assert_eq!(states(&cloud, running), ["ACTIVE/HOTPLUG", "ACTIVE/RUNNING"]);
    assert_eq!(context(running, "A").as_deref(), Some("3"));
    act(&cloud, "suspend", running);
    cloud.advance(10);
    assert_eq!(
        self::code(
            &cloud,
            ALICE,
            "one.vm.updateconf",
            &[number(running), "CONTEXT=[A=\"4\"]".into(), 1.into()]
        ),
        8192
    );
}

#[test]
fn the_user_template_of_a_vm_is_its_owner_s() {
    let cloud = cloud();
    let vm = new_vm(&cloud, "a", "NOTE=\"1\"");
    ask(
        &cloud,
        ALICE,
        "one.vm.update",
        &[number(vm), "MORE=\"2\"".into(), 1.into()],
    );
    let of = |key: &str| cloud.vm(vm).unwrap().user_template.get(key).map(str::to_owned);
    assert_eq!((of("NOTE"), of("MORE")), (Some("1".into()), Some("2".into())));
    ask(
        &cloud,
        ALICE,
        "one.vm.update",
        &[number(vm), "MORE=\"3\"".into(), 0.into()],
    );
    assert_eq!((of("NOTE"), of("MORE")), (None, Some("3".into())));
    act(&cloud, "terminate", vm);
    assert_eq!(
        cloud.vm(vm).unwrap().template.get("CPU"),
        Some("1"),
        "the rest stays"
    );
}
