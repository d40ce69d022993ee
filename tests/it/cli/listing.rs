//! Lists and details: columns, forms, and how many calls they cost.

use super::{Cloud, spec};

#[test]
fn a_list_of_a_thousand_clusters_is_one_call() {
    let cloud = Cloud::new();
    for number in 0..1000 {
        cloud.life.create("alice:alicepw", &format!("c{number}"), &spec());
    }
    cloud.life.sandbox.reset_calls();
    let listed = cloud.alice("list --no-header").good();
    assert_eq!(listed.lines().count(), 1000);
    assert_eq!(cloud.life.sandbox.calls().len(), 1);
}

#[test]
fn details_are_at_most_three_calls() {
    let (cloud, _) = Cloud::with_web();
    for (arguments, most) in [
        ("show cluster 0", 1),
        ("show cluster web", 2),
        ("show nodegroup 1", 1),
        ("show nodegroup 0..1", 3),
        ("show nodegroup web/workers", 2),
        ("explain cluster web", 3),
    ] {
        cloud.life.sandbox.reset_calls();
        cloud.alice(arguments).good();
        assert!(
            cloud.life.sandbox.calls().len() <= most,
            "{arguments}: {:?}",
            cloud.life.sandbox.calls().by_method()
        );
    }
}

#[test]
fn lists_take_the_options_of_opennebulas_commands() {
    let (mut cloud, _) = Cloud::with_web();
    let mut other = spec();
    other["deployment"]["cluster"]["id"] = 9.into();
    cloud.life.create("alice:alicepw", "broken", &other);
    cloud.life.pass_time(5);
    for (arguments, wanted) in [
        ("list -f STATE=RUNNING -l NAME --no-header", "web\n"),
        (
            "list cluster -f STATE=RUNNING,NAME=broken --operator OR -l ID,NAME --csv",
            "ID,NAME\n0,web\n1,broken\n",
        ),
        ("list cluster m -l NAME --csv --no-header", "web\nbroken\n"),
        ("list clusters 3 -l NAME --csv --no-header", ""),
        (
            "list cluster -l NAME,STATE --csv --csv-del ; --no-header",
            "web;RUNNING\nbroken;PENDING\n",
        ),
        (
            "list groups 0 -l ID,NAME --csv --no-header",
            "0,control-plane\n1,workers\n",
        ),
        ("top -n 1 -l NAME -f NAME=web --no-header", "web\n"),
    ] {
        assert_eq!(cloud.alice(arguments).good(), wanted, "{arguments}");
    }
    let error = cloud
        .alice("list -l NAME,LAST_ERROR --csv --no-header -f NAME=broken")
        .good();
    assert!(error.contains("there is no OpenNebula cluster 9"), "{error}");
    assert!(
        cloud
            .alice("list --describe")
            .good()
            .lines()
            .any(|l| l.starts_with("LAST_ERROR"))
    );
    assert!(
        cloud
            .alice("list -l SIZE")
            .failed(2)
            .contains("there are ID, USER")
    );
    assert!(cloud.alice("list -f SIZE=1").failed(2).contains("no column SIZE"));
}

#[test]
fn json_yaml_and_xml_hold_the_same_and_no_secret() {
    let (cloud, id) = Cloud::with_web();
    let secret = cloud.life.attribute(id, "KUBECONFIG").unwrap();
    let json = cloud.alice("show cluster web -j").good();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["NAME"], "web");
    assert_eq!(value["TEMPLATE"]["SPEC"], spec());
    assert_eq!(value["TEMPLATE"]["STATUS"]["state"], "RUNNING");
    assert_eq!(value["PERMISSIONS"]["OWNER_U"], 1);
    let yaml = cloud.alice("show cluster web -y").good();
    assert_eq!(serde_saphyr::from_str::<serde_json::Value>(&yaml).unwrap(), value);
    let xml = cloud.alice("list cluster -x").good();
    assert!(xml.starts_with("<DOCUMENT_POOL><DOCUMENT><ID>0</ID>"), "{xml}");
    let listed: serde_json::Value = serde_json::from_str(&cloud.alice("list -j").good()).unwrap();
    assert_eq!(listed[0], value);
    let plain = cloud.alice("show cluster web").good();
    for text in [&json, &yaml, &xml, &plain] {
        assert!(!text.contains("KUBECONFIG") && !text.contains(&secret), "{text}");
    }
}

#[test]
fn a_long_value_is_not_cut_when_piped() {
    let cloud = Cloud::new();
    let name = "a-name-that-is-longer-than-any-column-of-any-terminal-could-be-and-then-some-more-of-it-for-good-measure";
    cloud.life.create("alice:alicepw", name, &spec());
    assert!(cloud.alice("list").good().contains(name));
    let mut hostile = spec();
    hostile["description"] = "x\u{1b}[31mred".into();
    let id = cloud.life.create("alice:alicepw", "hostile", &hostile);
    let shown = cloud.alice(&format!("show cluster {id}")).good();
    assert!(
        shown.contains("x [31mred") && !shown.contains('\u{1b}'),
        "{shown}"
    );
}
