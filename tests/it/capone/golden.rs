//! Everything that the driver renders for every flavour, as files to read and compare. `UPDATE=1` writes them anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use oneks_driver::{Action, Cluster, Group, GroupVm, Role, Router, Script, Steps, Taint, VmCondition};

use super::ask;
use super::subject::{applied, bootstrap, cluster, files, group, provision, root, rotate};

fn folder() -> PathBuf {
    root().join("tests/golden/capone")
}

/// Every rendered text by file name.
fn rendered() -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for flavour in ["standalone", "ha"] {
        let mut start = bootstrap(&cluster(), &group(Role::ControlPlane, flavour));
        let seed = start.seed.as_mut().unwrap();
        let mut put = |name: &str, text: &mut String| {
            texts.insert(
                format!("{flavour}/{name}"),
                std::mem::replace(text, format!("see {name}")),
            );
        };
        put("manifest.yaml", seed.vm.attachments.get_mut("manifest").unwrap());
        put("oneks-24-seed.tmpl", &mut seed.vm.text);
        for template in &mut start.templates {
            put(&format!("{}.tmpl", template.name), &mut template.text);
        }
        if let Router::Hooks { text, .. } = &mut start.router {
            put("oneks-24-cp.vrouter", text);
        }
        let rest = serde_json::to_string_pretty(&start).unwrap() + "\n";
        texts.insert(format!("{flavour}/bootstrap.json"), rest);
    }
    for flavour in ["small", "medium", "large"] {
        let mut group = group(Role::NodeGroup, flavour);
        group
            .labels
            .insert("example.org/tier".to_owned(), flavour.to_owned());
        group.taints = vec![Taint {
            key: "example.org/dedicated".to_owned(),
            value: "yes".to_owned(),
            effect: "NoSchedule".to_owned(),
        }];
        let steps = provision(&cluster(), &group);
        texts.insert(
            format!("{flavour}/oneks-24-workers.tmpl"),
            steps.templates[0].text.clone(),
        );
        texts.insert(
            format!("{flavour}/manifest.yaml"),
            applied(&steps.script.unwrap()),
        );
    }
    for (name, script) in scripts() {
        texts.insert(format!("scripts/{name}.sh"), script.text);
    }
    texts
}

/// A worker's VM.
fn worker(id: u32) -> GroupVm {
    GroupVm {
        id,
        name: format!("oneks-24-workers-7x2lq-{id}"),
        condition: VmCondition::Running,
        ip: None,
        version: None,
    }
}

/// Every script by name. `doubt-workers` asks about VMs 114, 115 and 116, of which two are wanted.
pub fn scripts() -> BTreeMap<String, Script> {
    type Act = fn(Box<Cluster>, Box<Group>) -> Action;
    let mut scripts = BTreeMap::new();
    let steps: [(&str, Act); 4] = [
        ("scale", |cluster, group| Action::Scale { cluster, group }),
        ("upgrade", |cluster, group| Action::Upgrade { cluster, group }),
        ("provision", |cluster, group| Action::Provision { cluster, group }),
        ("deprovision", |cluster, group| Action::Deprovision {
            cluster,
            group,
        }),
    ];
    for (role, flavour, of) in [
        (Role::ControlPlane, "ha", "control-plane"),
        (Role::NodeGroup, "small", "workers"),
    ] {
        for (name, act) in steps {
            if role == Role::ControlPlane && matches!(name, "provision" | "deprovision") {
                continue;
            }
            let steps: Steps = ask(act(Box::new(cluster()), Box::new(group(role, flavour)))).unwrap();
            scripts.insert(format!("{name}-{of}"), steps.script.unwrap());
        }
        for (name, wait) in [("probe", 0), ("wait", 600)] {
            let probe: Script = ask(Action::Probe {
                cluster: Box::new(cluster()),
                group: Box::new(group(role, flavour)),
                wait,
            })
            .unwrap();
            scripts.insert(format!("{name}-{of}"), probe);
        }
    }
    let mut crowd = group(Role::NodeGroup, "small");
    crowd.vms = [114, 115, 116].map(worker).into();
    let doubt: Script = ask(Action::Probe {
        cluster: Box::new(cluster()),
        group: Box::new(crowd),
        wait: 0,
    })
    .unwrap();
    scripts.insert("doubt-workers".to_owned(), doubt);
    let plane = group(Role::ControlPlane, "ha");
    scripts.insert("rotate".to_owned(), rotate(&cluster(), &plane));
    let kubeconfig: Script = ask(Action::Kubeconfig {
        cluster: Box::new(cluster()),
        group: Box::new(plane),
        output: None,
    })
    .unwrap();
    scripts.insert("kubeconfig".to_owned(), kubeconfig);
    scripts
}

#[test]
fn rendered_texts_are_as_before() {
    let rendered = rendered();
    if std::env::var_os("UPDATE").is_some() {
        let _ = fs::remove_dir_all(folder());
        for (name, text) in &rendered {
            let path = folder().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }
    let kept = files(&folder());
    assert_eq!(
        kept.keys().collect::<Vec<_>>(),
        rendered.keys().collect::<Vec<_>>(),
        "other files than before; UPDATE=1 writes them anew"
    );
    for (name, text) in &rendered {
        let kept = &kept[name];
        let line = kept.lines().zip(text.lines()).position(|(a, b)| a != b);
        assert!(
            kept == text,
            "{name}, line {line:?}: differs; UPDATE=1 writes it anew\n{text}"
        );
    }
}

#[test]
fn equal_requests_get_equal_replies() {
    assert_eq!(rendered(), rendered());
}

#[test]
fn scripts_have_a_deadline_and_come_as_a_whole() {
    for (name, script) in scripts() {
        assert!((30..=900).contains(&script.timeout), "{name}");
        assert!(script.text.starts_with("set -eu\n"), "{name}");
        assert!(script.text.ends_with('\n'), "{name}");
        // In base64 it travels as one argument of a command.
        assert!(script.text.len() < 60_000, "{name}: {}", script.text.len());
    }
}
