//! `ClusterResourceSet`: objects from Secrets, put into a managed cluster once it can be reached.

use serde_json::{Value, json};

use super::super::kube::selector::Selector;
use super::super::kube::store::secret_value;
use super::super::kube::{FieldValidation, Key, Object, kinds};
use super::super::world::{Ctx, PlaneId};
use super::conditions::{self, Condition};
use super::is_paused;

/// Type of Secrets that may be applied.
const SECRET_TYPE: &str = "addons.cluster.x-k8s.io/resource-set";

pub(crate) fn reconcile(ctx: &mut Ctx<'_>) {
    for key in ctx.store().keys("ClusterResourceSet") {
        let Some(set) = ctx.get(&key) else { continue };
        let selector = Selector::from_object(&set.0["spec"]["clusterSelector"]);
        let clusters: Vec<Object> = ctx
            .store()
            .list("Cluster")
            .filter(|cluster| selector.matches(&cluster.labels()))
            .cloned()
            .collect();
        for cluster in clusters {
            if cluster.is_deleting()
                || is_paused(&cluster, &set)
                || !cluster.flag(&["status", "infrastructureReady"])
            {
                continue;
            }
            apply(ctx, &key, &set, &cluster);
        }
    }
}

fn apply(ctx: &mut Ctx<'_>, key: &Key, set: &Object, cluster: &Object) {
    let now = ctx.now;
    let reached = ctx.workload_of(cluster.name()).filter(|_| ctx.reaches(cluster));
    let Some(workload) = reached else {
        ctx.modify(key, |set| {
            let condition = Condition::no("ResourcesApplied", "Error", "RemoteClusterClientFailed", "");
            conditions::set(set, now, &condition);
        });
        ctx.at(now + 20);
        return;
    };
    let mut problem = None;
    for resource in set.list(&["spec", "resources"]) {
        let name = resource["name"].as_str().unwrap_or_default();
        let kind = resource["kind"].as_str().unwrap_or_default();
        let Some(source) = ctx.get(&Key::new(kind, name)) else {
            problem = Some(("RetrievingResourceFailed", format!("{kind} {name:?} not found")));
            continue;
        };
        if kind == "Secret" && source.text(&["type"]) != SECRET_TYPE {
            problem = Some((
                "WrongSecretType",
                format!("Secret type {:?} is not supported", source.text(&["type"])),
            ));
            continue;
        }
        // `Reconcile` applies again what changed, `ApplyOnce` never.
        let mark = format!("{kind}/{name}");
        let version = source.text(&["metadata", "resourceVersion"]).to_owned();
        let applied = ctx
            .store()
            .get(key)
            .map(|set| set.map(&["metadata", "annotations"]));
        let applied = applied.and_then(|map| map.get(&annotation(&mark)).cloned());
        let once = set.text(&["spec", "strategy"]) == "ApplyOnce";
        if applied.is_some_and(|seen| once || seen == version.as_str()) {
            continue;
        }
        match apply_all(ctx, workload, &texts(&source)) {
            Ok(()) => {
                ctx.modify(key, |set| {
                    set.set(&["metadata", "annotations", &annotation(&mark)], version);
                });
            }
            Err(message) => problem = Some(("ApplyFailed", message)),
        }
    }
    let condition = match problem {
        None => Condition::yes("ResourcesApplied"),
        Some((reason, message)) => {
            ctx.log("clusterresourceset", &key.name, message.clone());
            ctx.at(now + 20);
            Condition::no("ResourcesApplied", "Warning", reason, message)
        }
    };
    ctx.modify(key, |set| conditions::set(set, now, &condition));
}

/// Stands in for the binding object that remembers what has been applied.
fn annotation(mark: &str) -> String {
    format!("sandbox.oneks/applied-{}", mark.replace('/', "-").to_lowercase())
}

fn texts(source: &Object) -> Vec<String> {
    source
        .map(&["data"])
        .iter()
        .filter_map(|(key, value)| {
            if source.kind() == "Secret" {
                secret_value(source, key)
            } else {
                value.as_str().map(str::to_owned)
            }
        })
        .collect()
}

fn apply_all(ctx: &mut Ctx<'_>, workload: PlaneId, texts: &[String]) -> Result<(), String> {
    for text in texts {
        for part in text.split("\n---") {
            let part = part.trim_start_matches("---");
            if part.trim().is_empty() {
                continue;
            }
            let value: Value =
                serde_saphyr::from_str(part).map_err(|error| format!("failed converting data: {error}"))?;
            if value.is_null() {
                continue;
            }
            let mut object = Object(value);
            let kind = kinds::by_kind(object.api_version(), object.kind()).ok_or_else(|| {
                format!(
                    "no matches for kind {:?} in version {:?}",
                    object.kind(),
                    object.api_version()
                )
            })?;
            if kind.namespaced && object.namespace().is_empty() {
                object.set(&["metadata", "namespace"], json!("default"));
            }
            let store = &mut ctx.world.planes[workload].store;
            let result = if store.get(&Key::of(&object)).is_some() {
                store.update(object, FieldValidation::Warn).map(drop)
            } else {
                store.create(object, FieldValidation::Warn).map(drop)
            };
            result.map_err(|error| error.message())?;
        }
    }
    Ok(())
}
