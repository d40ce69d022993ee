//! What a cluster's life costs, by operation, beside what was recorded of the Ruby server.

use std::time::Instant;

use oneks_sandbox::{ALICE_PASSWORD, Sandbox, capi};
use serde_json::{Value, json};

use crate::Effort;
use crate::report::{Goal, Report};
use crate::support::life::Life;
use crate::support::prefix::SERVER_SECRET;

/// Calls of the Ruby server for the same operations, recorded. It also has 80 MiB and 25 threads resident.
const SERVER: [u32; 5] = [89, 69, 100, 57, 126];

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// One control-plane node, a group of three, scaled to five, upgraded, deleted: with both drivers.
pub fn measure(_: Effort, report: &mut Report) {
    for driver in ["capone", "dummy"] {
        live(driver, report);
    }
}

fn live(driver: &str, report: &mut Report) {
    let config = oneks_sandbox::Config {
        server_secret: SERVER_SECRET.to_owned(),
        ..Default::default()
    };
    let mut life = Life::of(if driver == "capone" {
        let guests = capi::Guests::new(capi::Config {
            shim: Some(env!("CARGO_BIN_EXE_oneks-sandbox").into()),
            ..capi::Config::default()
        });
        Sandbox::with_guests(config, Box::new(guests))
    } else {
        Sandbox::new(config)
    });
    let mut spec = json!({
        "kubernetes_version": "v1.33.7",
        "driver": driver,
        "deployment": {
            "cluster": {"id": 0},
            "networks": {"public": {"id": 0}, "private": {"id": 1}},
            "datastores": {"image": {"id": 1}},
        },
        "control_plane": {"flavour": "standalone"},
        "node_groups": [],
    });
    let group = json!([{"name": "workers", "flavour": "small", "user_inputs_values": {"count": 3}}]);
    let mut id = 0;
    let mut all = 0;
    let operations = ["create", "add three nodes", "scale by two", "upgrade", "delete"];
    for (operation, server) in operations.into_iter().zip(SERVER) {
        life.begin_here();
        let (began, virtually) = (Instant::now(), life.sandbox.now());
        match operation {
            "create" => {
                id = life.create(&alice(), "demo", &spec);
                life.until_state(id, "RUNNING", 7200);
            }
            "add three nodes" => change(&mut life, id, &mut spec, "/node_groups", group.clone()),
            "scale by two" => {
                change(
                    &mut life,
                    id,
                    &mut spec,
                    "/node_groups/0/user_inputs_values/count",
                    json!(5),
                );
            }
            "upgrade" => change(&mut life, id, &mut spec, "/kubernetes_version", json!("v1.34.2")),
            _ => {
                life.set(&alice(), id, "DELETE", "YES");
                life.until_state(id, "GONE", 1200);
            }
        }
        let (real, passed) = (began.elapsed(), life.sandbox.now() - virtually);
        if operation == "delete" {
            // The events of what was deleted last.
            life.pass_time(120);
        }
        let made = life.hook_calls();
        let calls = u32::try_from(made.len()).unwrap();
        let bytes: usize = made.iter().map(|call| call.bytes).sum();
        all += calls;
        let name = format!("{driver}, {operation}");
        let goal = if driver == "capone" {
            Goal::Most(1.0)
        } else {
            Goal::None
        };
        report.counted(
            format!("{name}: calls, of the Ruby server's {server}"),
            f64::from(calls) / f64::from(server),
            "×",
            goal,
        );
        report.counted(format!("{name}: calls"), f64::from(calls), "", Goal::None);
        report.counted(
            format!("{name}: request and answer bodies"),
            kib(bytes),
            "KiB",
            Goal::None,
        );
        report.counted(format!("{name}: virtual time"), seconds(passed), "s", Goal::None);
        report.timed(
            format!("{name}: real time, of hooks and cloud"),
            real.as_secs_f64() * 1000.0,
            "ms",
            Goal::None,
        );
    }
    let server: u32 = SERVER.iter().sum();
    report.counted(
        format!("{driver}, the whole life: calls, of the Ruby server's {server}"),
        f64::from(all) / f64::from(server),
        "×",
        Goal::Most(0.35),
    );
    report.counted(
        format!("{driver}, the whole life: calls"),
        f64::from(all),
        "",
        Goal::Most(150.0),
    );
    assert_eq!(life.errors, Vec::<String>::new());
}

fn change(life: &mut Life, id: u32, spec: &mut Value, path: &str, value: Value) {
    *spec.pointer_mut(path).unwrap() = value;
    life.set(&alice(), id, "SPEC", &spec.to_string());
    life.until("the change is seen", 120, |life| life.state(id) != "RUNNING");
    life.until_state(id, "RUNNING", 4 * 3600);
}

#[allow(clippy::cast_precision_loss)] // far below 2⁵³
fn kib(bytes: usize) -> f64 {
    bytes as f64 / 1024.0
}

#[allow(clippy::cast_precision_loss)] // far below 2⁵³
fn seconds(seconds: u64) -> f64 {
    seconds as f64
}
