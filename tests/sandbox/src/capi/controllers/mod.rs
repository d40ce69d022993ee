//! The controllers of Cluster API, CAPRKE2, CAPONE and the nodes. Each looks at all objects of its kind and brings them
//! one step further; the loop ends when a round has changed nothing.

pub(crate) mod bootstrap;
pub(crate) mod cluster;
pub(crate) mod conditions;
pub(crate) mod control_plane;
pub(crate) mod daemon_set;
pub(crate) mod health_check;
pub(crate) mod load_balancer;
pub(crate) mod machine;
pub(crate) mod machine_deployment;
pub(crate) mod machine_set;
pub(crate) mod nodes;
pub(crate) mod one_cluster;
pub(crate) mod one_machine;
pub(crate) mod remediation;
pub(crate) mod resource_set;

use super::kube::{Key, Object};
use super::world::{Ctx, External, Home};

/// Label with the name of the cluster.
pub(crate) const CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";
/// Label of machines of the control plane.
pub(crate) const CONTROL_PLANE: &str = "cluster.x-k8s.io/control-plane";
/// Label with the name of the machine deployment.
pub(crate) const DEPLOYMENT_NAME: &str = "cluster.x-k8s.io/deployment-name";
/// Label with the name of the machine set.
pub(crate) const SET_NAME: &str = "cluster.x-k8s.io/set-name";
/// Annotation that asks for a machine to go first.
pub(crate) const DELETE_MACHINE: &str = "cluster.x-k8s.io/delete-machine";
/// Annotation with the name of the template that an object was made from.
pub(crate) const CLONED_FROM: &str = "cluster.x-k8s.io/cloned-from-name";
const PAUSED: &str = "cluster.x-k8s.io/paused";

/// Rounds after which a loop that finds no rest is left until the next second.
const ROUNDS: usize = 60;

/// Lets all controllers of a plane work until nothing changes any more.
pub(crate) fn reconcile(ctx: &mut Ctx<'_>) {
    let now = ctx.now;
    for plane in &mut ctx.world.planes {
        plane.store.now = now;
    }
    for _ in 0..ROUNDS {
        let before = versions(ctx);
        ctx.wake = None;
        if matches!(ctx.world.planes[ctx.plane].home, Home::Nodes(_)) {
            nodes::reconcile(ctx);
        }
        if ctx.world.controllers_work(ctx.plane) {
            cluster::reconcile(ctx);
            one_cluster::reconcile(ctx);
            resource_set::reconcile(ctx);
            bootstrap::reconcile(ctx);
            machine::reconcile(ctx);
            one_machine::reconcile(ctx);
            control_plane::reconcile(ctx);
            machine_deployment::reconcile(ctx);
            machine_set::reconcile(ctx);
            health_check::reconcile(ctx);
        }
        if versions(ctx) == before {
            return;
        }
    }
    let restless: Vec<String> = {
        let newest = ctx.store().version();
        let near = |object: &&Object| {
            let version = object
                .text(&["metadata", "resourceVersion"])
                .parse::<u64>()
                .unwrap_or(0);
            version + 20 > newest
        };
        ctx.store()
            .iter()
            .filter(near)
            .map(|object| format!("{}/{}", object.kind(), object.name()))
            .collect()
    };
    ctx.log(
        "sandbox",
        "",
        format!(
            "the controllers found no rest within one second: {}",
            restless.join(", ")
        ),
    );
    ctx.at(now + 1);
}

/// Versions of all stores: a controller here may change another cluster.
fn versions(ctx: &Ctx<'_>) -> Vec<u64> {
    ctx.world
        .planes
        .iter()
        .map(|plane| plane.store.version())
        .collect()
}

/// The Cluster that an object belongs to.
pub(crate) fn cluster_of(ctx: &Ctx<'_>, object: &Object) -> Option<Object> {
    let name = object
        .label(CLUSTER_NAME)
        .unwrap_or_else(|| object.text(&["spec", "clusterName"]));
    ctx.get(&Key::new("Cluster", name))
}

/// Whether nothing may be done for an object.
pub(crate) fn is_paused(cluster: &Object, object: &Object) -> bool {
    cluster.flag(&["spec", "paused"])
        || object.annotation(PAUSED).is_some()
        || cluster.annotation(PAUSED).is_some()
}

/// Machines of a cluster.
pub(crate) fn machines_of(ctx: &Ctx<'_>, cluster: &str) -> Vec<Object> {
    ctx.store()
        .list("Machine")
        .filter(|machine| machine.label(CLUSTER_NAME) == Some(cluster))
        .cloned()
        .collect()
}

/// Whether a machine belongs to the control plane.
pub(crate) fn is_control_plane(machine: &Object) -> bool {
    machine.label(CONTROL_PLANE).is_some()
}

/// What a controller of something outside decided for the next time.
pub(crate) enum Next {
    /// At the next change or resync.
    Resync,
    /// After so many seconds.
    After(u64),
    /// After a back-off that grows.
    Failed(String),
}

/// Whether an object is due: it has changed, or its time has come.
pub(crate) fn is_due(ctx: &mut Ctx<'_>, object: &Object) -> bool {
    let now = ctx.now;
    let external = ctx.world.planes[ctx.plane]
        .external
        .entry(object.uid().to_owned())
        .or_default();
    let due = external.due <= now || external.seen != object.text(&["metadata", "resourceVersion"]);
    let next = external.due;
    if !due {
        ctx.at(next);
    }
    due
}

/// Remembers how a reconciliation went.
pub(crate) fn done(ctx: &mut Ctx<'_>, controller: &'static str, key: &Key, uid: &str, next: &Next) {
    let resync = ctx.world.config.timings.resync.max(1);
    let seen = ctx
        .store()
        .get(key)
        .map(|object| object.text(&["metadata", "resourceVersion"]).to_owned())
        .unwrap_or_default();
    let now = ctx.now;
    let external = ctx.world.planes[ctx.plane]
        .external
        .entry(uid.to_owned())
        .or_default();
    // All resyncs of a period fall on one moment: the work is the same, and simulated hours pass sooner.
    let period = now - now % resync + resync;
    let due = match next {
        Next::Resync => {
            external.failures = 0;
            period
        }
        Next::After(seconds) => {
            external.failures = 0;
            now + *seconds
        }
        Next::Failed(_) => {
            external.failures = (external.failures + 1).min(16);
            now + (1_u64 << external.failures.saturating_sub(1)).min(resync)
        }
    };
    *external = External {
        due,
        failures: external.failures,
        seen,
    };
    ctx.at(due);
    if let Next::Failed(message) = next {
        ctx.log(controller, &key.name, message.clone());
    }
}
