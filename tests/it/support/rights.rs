//! No call outside the owner's rights: what the log of a life must not show.

use super::bystanders::Bystanders;
use super::life::Life;

/// What is read as oneadmin: documents, the zone, what an ordinary user may not even read, the tag of a VM of which an
/// event told the id alone, and, to learn whose objects are left of a cluster without document or which VMs there are,
/// the pools.
const READ_BY_ADMIN: [&str; 10] = [
    "one.document.info",
    "one.documentpool.info",
    "one.zone.raftstatus",
    "one.cluster.info",
    "one.acl.info",
    "one.vm.info",
    "one.vmpool.infoextended",
    "one.vmpool.infoset",
    "one.templatepool.info",
    "one.vrouterpool.info",
];

/// Calls of hooks and sweeps that they had no right to, for a cluster of this owner.
pub fn trespasses(life: &Life, owner: &str, cluster: u32, bystanders: &Bystanders) -> Vec<String> {
    let mut found = Vec::new();
    for call in life.hook_calls() {
        let method = call.method.as_str();
        let verb = method.rsplit('.').next().unwrap_or_default();
        let reads = ["info", "infoset", "infoextended", "raftstatus"].contains(&verb);
        let object = call.object.unwrap_or(-1);
        let may = match call.user.as_str() {
            "oneadmin" => {
                let writes_status = matches!(method, "one.document.update" | "one.document.delete");
                READ_BY_ADMIN.contains(&method) || writes_status && object == i64::from(cluster)
            }
            user if user == owner => {
                !method.starts_with("one.document") && (reads || !bystanders.has(method, object))
            }
            _ => false,
        };
        if !may {
            found.push(format!("{call:?}"));
        }
    }
    found
}
