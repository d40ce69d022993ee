//! The kubeconfig of a cluster, with the endpoint's address in the place of the node's own.

use minijinja::context;
use oneks_driver::{Cluster, DriverError, Endpoint, Kubeconfig, Output, Script, reason};
use serde_json::Value;

use crate::observe::last_line;

/// Seconds for the script.
const TIMEOUT: u64 = 60;

/// What a line starts with that says the cluster's addresses: a comment, so that the output is a kubeconfig all the same.
const ADDRESSES: &str = "# addresses\t";

/// The script that prints the kubeconfig; where the endpoint is not known, what Cluster API says of it too.
///
/// # Errors
/// None that an administrator could do anything about.
pub fn script(cluster: &Cluster) -> Result<Script, DriverError> {
    let context = context! {
        cluster => cluster.name.as_str(),
        ask_addresses => cluster.endpoint.is_none(),
    };
    crate::script::script("kubeconfig.sh.j2", &context, TIMEOUT)
}

/// Endpoint and gateway as the nodes know them, from the script's output.
fn addresses(output: &Output) -> Option<(Endpoint, Option<String>)> {
    let line = output.stdout.lines().find_map(|l| l.strip_prefix(ADDRESSES))?;
    let mut parts = line.split('\t').map(str::trim);
    let host = parts.next().filter(|host| !host.is_empty())?.to_owned();
    let port = parts.next()?.parse().ok()?;
    let gateway = parts.next().filter(|g| !g.is_empty()).map(str::to_owned);
    Some((Endpoint { host, port }, gateway))
}

/// Reads what the script printed. The cluster, its user and its context get the cluster's name: on a node all of them
/// are `default`, and a user has more clusters than one.
///
/// # Errors
/// `KubeconfigFailed`, `EndpointUnknown` and `BadOutput`, all to be tried again. None holds the output.
pub fn read(cluster: &Cluster, output: &Output) -> Result<Kubeconfig, DriverError> {
    if output.return_code != 0 {
        return Err(DriverError::retry(
            "KubeconfigFailed",
            format!(
                "the kubeconfig of {} could not be read: {}",
                cluster.name,
                last_line(output)
            ),
        ));
    }
    let (endpoint, gateway) = match (&cluster.endpoint, addresses(output)) {
        (Some(endpoint), _) => (Some(endpoint.clone()), None),
        (None, Some((endpoint, gateway))) => (Some(endpoint), gateway),
        (None, None) => (None, None),
    };
    let Some(endpoint) = endpoint else {
        return Err(DriverError::retry(
            "EndpointUnknown",
            format!(
                "{} has no endpoint yet; its virtual router gives it one",
                cluster.name
            ),
        ));
    };
    let unreadable = || {
        DriverError::retry(
            reason::BAD_OUTPUT,
            format!(
                "what a node of {} printed is no kubeconfig with one cluster and user",
                cluster.name
            ),
        )
    };
    let mut config: Value = serde_saphyr::from_str(&output.stdout).map_err(|_| unreadable())?;
    let host = if endpoint.host.contains(':') {
        format!("[{}]", endpoint.host)
    } else {
        endpoint.host.clone()
    };
    rename(
        &mut config,
        &cluster.name,
        &format!("https://{host}:{}", endpoint.port),
    )
    .ok_or_else(unreadable)?;
    // One line for each value, as kubectl writes it: certificates would be folded otherwise.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let kubeconfig = serde_saphyr::to_string_with_options(&config, options).map_err(|_| unreadable())?;
    Ok(Kubeconfig {
        kubeconfig,
        endpoint: cluster.endpoint.is_none().then_some(endpoint),
        gateway,
    })
}

fn rename(config: &mut Value, name: &str, server: &str) -> Option<()> {
    let one = |config: &mut Value, list: &str, kind: &str, as_name: &str| -> Option<Value> {
        let [entry] = config.get_mut(list)?.as_array_mut()?.as_mut_slice() else {
            return None;
        };
        entry.as_object_mut()?.insert("name".to_owned(), as_name.into());
        entry.get(kind).filter(|v| v.is_object()).cloned()
    };
    let user = format!("{name}-admin");
    one(config, "clusters", "cluster", name)?;
    one(config, "users", "user", &user)?;
    one(config, "contexts", "context", name)?;
    config["clusters"][0]["cluster"]["server"] = server.into();
    config["contexts"][0]["context"]["cluster"] = name.into();
    config["contexts"][0]["context"]["user"] = user.into();
    config["current-context"] = name.into();
    Some(())
}
