//! `oneks images`: what a datastore lacks, and bringing it.

use serde_json::Value;

use super::{Cloud, spec};

const SEED: &str = "c3ecb387-e726-49fe-975d-fa39c6d40d05";

/// A cloud with one more datastore, which is empty, and the appliances of the public marketplace.
fn prepared() -> (Cloud, u32) {
    let cloud = Cloud::new();
    let made = cloud.life.ask(
        "oneadmin:opennebula",
        "one.datastore.allocate",
        &[
            "NAME=\"fresh\"\nDS_MAD=\"dummy\"\nTM_MAD=\"dummy\"\nTYPE=\"IMAGE_DS\"".into(),
            0.into(),
        ],
    );
    for (name, attributes) in [
        ("Service OneKS", format!("IMPORT_ID=\"{SEED}\"")),
        ("Ubuntu 22.04", "IMPORT_ID=\"x\"".to_owned()),
        ("Service Virtual Router", "IMPORT_ID=\"y\"".to_owned()),
        ("Debian 12", "IMPORT_ID=\"z\"".to_owned()),
    ] {
        cloud.life.sandbox.add_market_app(name, &attributes).unwrap();
    }
    (cloud, u32::try_from(made.as_int().unwrap()).unwrap())
}

fn images(cloud: &Cloud, datastore: u32) -> Vec<(String, Option<u64>, String)> {
    let out = cloud
        .run("oneadmin", &format!("images list --datastore {datastore} --json"))
        .good();
    let rows: Vec<Value> = serde_json::from_str(&out).unwrap();
    let mut rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            (text("purpose"), row["id"].as_u64(), text("state"))
        })
        .collect();
    rows.sort();
    rows
}

#[test]
fn what_is_missing_is_said_and_brought_from_the_marketplace() {
    let (mut cloud, fresh) = prepared();
    let told = cloud.run("oneadmin", "images check --datastore fresh").failed(4);
    for words in [
        "seed: no image has ONEKS_IMAGE=seed or ONEKS_APPLIANCE_ID=c3ecb387",
        "node: no image has ONEKS_IMAGE=node or NAME=oneks-general-node",
        "router: no image has ONEKS_IMAGE=router",
    ] {
        assert!(told.contains(words), "{told}");
    }
    assert!(
        told.contains(&format!("oneks images import --datastore {fresh}")),
        "{told}"
    );

    let dry = cloud
        .run("oneadmin", "images import --datastore fresh --dry-run")
        .good();
    assert!(
        dry.contains("seed: would be taken from appliance 0 (Service OneKS)"),
        "{dry}"
    );
    assert!(images(&cloud, fresh).iter().all(|(_, id, _)| id.is_none()));
    cloud
        .run("oneadmin", "images import --datastore fresh --wait --interval 0")
        .good();
    let there = images(&cloud, fresh);
    assert_eq!(there.len(), 3);
    assert!(
        there
            .iter()
            .all(|(_, id, state)| id.is_some() && state == "ready"),
        "{there:?}"
    );
    cloud.run("oneadmin", "images check --datastore fresh").good();
    let again = cloud.run("oneadmin", "images import --datastore fresh").good();
    assert!(again.contains("has all images already"), "{again}");

    // An ordinary user's cluster is made of them.
    let mut wanted = spec();
    wanted["deployment"]["datastores"]["image"]["id"] = fresh.into();
    let id = cloud.life.create("alice:alicepw", "elsewhere", &wanted);
    cloud.life.until_state(id, "RUNNING", 900);
}

#[test]
fn images_come_from_files_other_appliances_or_are_only_marked() {
    let (cloud, fresh) = prepared();
    let image = cloud.life.sandbox.add_image("plain", fresh, "").unwrap();
    let elsewhere = cloud.life.sandbox.add_image("far", 1, "").unwrap();
    let told = cloud
        .run(
            "oneadmin",
            &format!("images import --datastore fresh --from router=image:{elsewhere}"),
        )
        .failed(4);
    assert!(
        told.contains("oneimage clone") && told.contains("nothing was imported"),
        "{told}"
    );
    let said = cloud
        .run(
            "oneadmin",
            &format!(
                "images import --datastore fresh --from node=/var/tmp/node.qcow2 --from seed=app:Debian --from router=image:{image}"
            ),
        )
        .failed(4);
    assert!(said.contains("no marketplace has an appliance Debian"), "{said}");
    let said = cloud
        .run(
            "oneadmin",
            &format!(
                "images import --datastore fresh --from node=/var/tmp/node.qcow2 --from seed=app:3 --from router=image:{image}"
            ),
        )
        .good();
    assert!(
        said.contains("from /var/tmp/node.qcow2") && said.contains("(Debian 12)"),
        "{said}"
    );
    let there = images(&cloud, fresh);
    assert!(
        there.contains(&("router".to_owned(), Some(u64::from(image)), "ready".to_owned())),
        "{there:?}"
    );
    cloud.run("oneadmin", "images check --datastore fresh").good();
}

#[test]
fn what_can_not_be_brought_is_told_before_anything_is_made() {
    let (cloud, fresh) = prepared();
    for (arguments, code, words) in [
        ("--datastore nowhere", 3, "nowhere"),
        ("--datastore files", 4, "no datastore of images"),
        ("--datastore fresh kernel", 2, "there are"),
        ("--datastore fresh --from node=relative.qcow2", 2, "absolute path"),
    ] {
        let told = cloud
            .run("oneadmin", &format!("images import {arguments}"))
            .failed(code);
        assert!(told.contains(words), "{told}");
    }
    let bare = Cloud::new();
    let told = bare
        .run("oneadmin", "images import --datastore default --again")
        .failed(4);
    assert!(
        told.contains("seed: appliance") && told.contains("onemarket list"),
        "{told}"
    );
    assert!(told.contains("--from node=/path/of/image.qcow2"), "{told}");
    assert!(images(&cloud, fresh).iter().all(|(_, id, _)| id.is_none()));
}
