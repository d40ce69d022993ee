//! Every example of the help works as it stands there.

use super::{Cloud, spec};

/// Commands that change nothing, so that their examples can share a cloud.
const READING: [&str; 12] = [
    "list", "top", "show", "explain", "plan", "events", "check", "profile", "audit", "logs", "simulate",
    "doctor",
];

fn prepared() -> Cloud {
    let (cloud, _) = Cloud::with_web();
    let mut another = spec();
    another["name"] = "another".into();
    another["node_groups"][0]["user_inputs_values"]["count"] = 3.into();
    cloud.file("cluster.yaml", &serde_saphyr::to_string(&another).unwrap());
    cloud.file(
        "group.yaml",
        "name: more\nflavour: medium\nuser_inputs_values:\n  count: 1\n",
    );
    cloud.file("change.yaml", "description: changed\nnode_groups: null\n");
    std::fs::write(cloud.prefix.root().join("var/oneks.log"), "cluster 0: a line\n").unwrap();
    let profiles = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/profiles");
    std::os::unix::fs::symlink(profiles, cloud.prefix.root().join("profiles")).unwrap();
    cloud
        .life
        .sandbox
        .add_market_app("Debian", "IMPORT_ID=\"z\"")
        .unwrap();
    cloud.life.sandbox.skip_ids(oneks_sandbox::ObjectKind::Image, 12);
    cloud.life.sandbox.add_image("plain", 1, "").unwrap();
    cloud
}

#[test]
fn every_example_works() {
    let mut shared = prepared();
    let examples = shared.alice("generate examples").good();
    assert!(examples.lines().count() > 40, "{examples}");
    for example in examples.lines() {
        let arguments = example.strip_prefix("oneks ").unwrap();
        let verb = arguments.split(' ').next().unwrap();
        let mut fresh;
        let cloud = if READING.contains(&verb) {
            &mut shared
        } else {
            fresh = prepared();
            &mut fresh
        };
        let user = if matches!(verb, "setup" | "doctor" | "images") {
            "oneadmin"
        } else {
            "alice"
        };
        let answer = if arguments.contains("--wait") {
            cloud.watch(arguments)
        } else if verb == "top" {
            cloud.run(user, &format!("{arguments} -n 1"))
        } else {
            cloud.run(user, arguments)
        };
        // The front-end of a test is not well; that the doctor says so is his work.
        let expected = if verb == "doctor" { 4 } else { 0 };
        assert_eq!(answer.code, expected, "{example}\n{}\n{}", answer.out, answer.err);
    }
}
