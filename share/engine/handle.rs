//! Handles: virtual machines that stand for clusters, see [`oneks_core::handle`].
//!
//! A handle of a cluster is looked at in the cluster's passes, see [`door`]. One that has no cluster yet is looked at by
//! [`pass`], one at a time per VM; it makes the document, whose event then leads to a pass of the cluster.

pub mod door;
pub mod machine;
pub mod note;
pub mod offer;
pub mod sweep;

use oneks_core::handle::{self, Asked, Named, Picture, Places, Record, SHOWN, Standing};
use oneks_core::names::DOCUMENT_TYPE;
use oneks_core::spec::Spec;
use oneks_core::status::Status;
use oneks_driver::Owner;
use opennebula::calls::{PoolFilter, PoolRange, VmAction};
use opennebula::client::Client;
use opennebula::error::Error;
use opennebula::objects::{DatastoreType, Document, Vm};
use opennebula::template::Template;

use crate::catalog;
use crate::gate::{Gate, GateFs, Hints};
use crate::hook::read_vm;
use crate::notes::Notes;
use crate::pass::{PassError, during};
use crate::service::Service;
use crate::zone::Zone;

use machine::Place;
use note::{HandleNote, Handles};

/// Looks at a handle of which no cluster is known. Returns the cluster that is to be looked at, which is marked.
///
/// # Errors
/// OpenNebula can't be reached or read, or the gate's files fail.
pub fn pass<F: GateFs>(
    service: &Service,
    gate: &Gate<F>,
    id: u32,
    now: u64,
) -> Result<Option<u32>, PassError> {
    let fail = |what: &str| during(format!("VM {id}: {what}"));
    let Some(vm) = read_vm(service, id).map_err(fail("look at a handle"))? else {
        return Ok(None);
    };
    let attributes = machine::attributes(&vm.user_template);
    let handles = Handles::new(gate.dir());
    let noted = handles.cluster(id);
    if !handle::is_handle(&attributes) && noted.is_none() {
        return Ok(None);
    }
    let claimed = attributes.get(SHOWN).and_then(|text| Record::claimed(text, id));
    if let Some(cluster) = claimed.or(noted) {
        gate.mark(cluster, &Hints::handle(id))?;
        return Ok(Some(cluster));
    }
    let place = machine::place(vm.state, vm.lcm_state);
    if let Some((cluster, _)) = Record::replaced(&attributes).filter(|_| place != Place::Done)
        && let Some(document) = read_document(service, cluster).map_err(fail("look for its cluster"))?
        && matches!(
            door::stand(service, &document, (vm.id, vm.uid), &attributes, false),
            Standing::Heir(_)
        )
    {
        gate.mark(cluster, &Hints::handle(id))?;
        return Ok(Some(cluster));
    }
    let owner = machine::owner(&vm);
    let client = service.owner(&owner, now);
    let mine = documents(&client, vm.uid, id).map_err(fail("look for its cluster"))?;
    if let Some(cluster) = mine {
        gate.mark(cluster, &Hints::handle(id))?;
        return Ok(Some(cluster));
    }
    if place == Place::Done {
        return Ok(None);
    }
    create(service, &handles, &vm, &owner, &client)?;
    if place == Place::Waits
        && let Err(e) = client.vm_action(VmAction::Hold, id)
    {
        log::info!("VM {id}: can't be put on hold: {e}");
    }
    Ok(None)
}

fn read_document(service: &Service, cluster: u32) -> Result<Option<Document>, Error> {
    match service.admin.document_info(cluster, false) {
        Ok(document) => Ok(Some(document).filter(|d| d.kind == DOCUMENT_TYPE)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}

/// The first cluster of this user that names the VM as its handle.
fn documents(client: &Client, uid: u32, vm: u32) -> Result<Option<u32>, Error> {
    let pool = client.every_document(PoolFilter::Mine, DOCUMENT_TYPE)?;
    let named = pool
        .items
        .iter()
        .filter(|document| document.uid == uid && door::named(document) == Some(vm));
    Ok(named.map(|document| document.id).min())
}

/// Makes the cluster that a new handle asks for, or says why not.
fn create(
    service: &Service,
    handles: &Handles,
    vm: &Vm,
    owner: &Owner,
    client: &Client,
) -> Result<(), PassError> {
    let id = vm.id;
    let attributes = machine::attributes(&vm.user_template);
    let fail = |what: &str| during(format!("VM {id}: {what}"));
    if !machine::is_hollow(vm) {
        let why = "a handle has no disks and was never on a host; instantiate the template for clusters";
        return tell(service, client, vm, why);
    }
    let places = places(client, vm, owner, handle::needs_datastores(&attributes))
        .map_err(fail("look for networks"))?;
    let (catalog, _) = catalog::load(&service.profiles);
    let fresh = Status::new(0);
    let check = |spec: &Spec| handle::refusals(&catalog, &fresh, spec);
    let Asked { name, spec } = match handle::asked(&attributes, &places, &catalog, &check) {
        Ok(asked) => asked,
        Err(errors) => return tell(service, client, vm, &errors.join("; ")),
    };
    let mut template = Template::new();
    template.set("NAME", name.as_deref().unwrap_or(&vm.name));
    let value = serde_json::to_value(&spec).unwrap_or_default();
    template.set("SPEC", opennebula::template::json_for_cdata(&value));
    template.set(door::ATTRIBUTE, id.to_string());
    let Ok(text) = template.to_xml("TEMPLATE") else {
        return tell(
            service,
            client,
            vm,
            "ONEAPP_KUBERNETES_CLUSTER_NAME can't be the name of a document",
        );
    };
    let cluster = match client.document_allocate(&text, DOCUMENT_TYPE) {
        Ok(cluster) => cluster,
        Err(e) if e.is_authorization() => {
            let why = format!(
                "{} may not create documents, in which clusters are kept: {e}",
                owner.name
            );
            return tell(service, client, vm, &why);
        }
        Err(e) => return Err(fail("make a document")(e)),
    };
    log::info!("cluster {cluster}: made from VM {id}, as {}", owner.name);
    if !matches!(service.zone, Zone::Alone)
        && documents(client, vm.uid, id).map_err(fail("look for its cluster"))? != Some(cluster)
    {
        // Another front-end was faster. Nothing was begun for this one, as long as nobody has looked at it.
        log::info!("cluster {cluster}: another front-end made the cluster of VM {id}; this one is removed");
        return client
            .document_delete(cluster)
            .map_err(fail("remove a second document"));
    }
    let mut note = HandleNote::new(cluster, owner.clone(), true);
    note.shown = attributes;
    handles.note(id, &note);
    Ok(())
}

/// Tells a handle why it has no cluster.
fn tell(service: &Service, client: &Client, vm: &Vm, why: &str) -> Result<(), PassError> {
    let why = oneks_core::text::shorten(why, 800);
    let attributes = machine::attributes(&vm.user_template);
    let red = Some(why.clone());
    let wanted = Picture::from([
        (handle::STATE.to_owned(), Some("PENDING".to_owned())),
        (handle::MESSAGE.to_owned(), red.clone()),
        (handle::ERROR.to_owned(), red),
    ]);
    let changes = handle::changes(&wanted, &attributes);
    if changes.is_empty() {
        return Ok(());
    }
    if Notes::new(service.gate.dir()).is_new(&format!("handle-{}", vm.id), &why) {
        log::info!("VM {}: no cluster is made from it: {why}", vm.id);
    }
    let shown = attributes.get(SHOWN).map(String::as_str);
    match machine::write(client, vm.id, &changes, shown) {
        Err(e) if !e.is_authorization() && !e.is_not_found() => {
            Err(during(format!("VM {}: write a handle", vm.id))(e))
        }
        _ => Ok(()),
    }
}

/// What the user may use.
fn places(client: &Client, vm: &Vm, owner: &Owner, datastores: bool) -> Result<Places, Error> {
    let all = PoolRange::default();
    let networks = client
        .vnpool_info(PoolFilter::All, all)?
        .items
        .into_iter()
        .map(|n| Named {
            own: n.uid == owner.uid,
            id: n.id,
            name: n.name,
            clusters: n.clusters,
        });
    let networks = networks.collect();
    let datastores = if datastores {
        let pool = client.datastorepool_info()?.items.into_iter();
        let images = pool.filter(|d| d.datastore_type == DatastoreType::Image);
        let named = images.map(|d| Named {
            own: d.uid == owner.uid,
            id: d.id,
            name: d.name,
            clusters: d.clusters,
        });
        named.collect()
    } else {
        Vec::new()
    };
    Ok(Places {
        networks,
        datastores,
        nics: machine::networks(vm),
    })
}

/// What becomes of the handle of a cluster whose document is gone: it shows that the cluster is being removed, and goes with
/// the last of it.
///
/// # Errors
/// OpenNebula can't be reached or read.
pub fn without_document(
    service: &Service,
    cluster: u32,
    hints: &Hints,
    left: Option<&str>,
    now: u64,
) -> Result<(), Error> {
    let handles = Handles::new(service.gate.dir());
    let mut found: Vec<(u32, HandleNote)> = handles.of_cluster(cluster).into_iter().collect();
    for id in &hints.handles {
        if found.iter().any(|(vm, _)| vm == id) {
            continue;
        }
        let Some(vm) = read_vm(service, *id)? else {
            continue;
        };
        let attributes = machine::attributes(&vm.user_template);
        let proof = service.handle_proof(cluster, vm.id);
        let ours = Record::of(&attributes)
            .is_some_and(|r| (r.vm, r.cluster) == (vm.id, cluster) && r.proof == proof);
        if ours && machine::place(vm.state, vm.lcm_state) != Place::Done {
            let mut note = HandleNote::new(cluster, machine::owner(&vm), true);
            note.shown = attributes;
            found.push((vm.id, note));
        }
    }
    for (vm, mut note) in found {
        let Some(left) = left else {
            terminate(service, cluster, vm, &note.owner, now);
            continue;
        };
        let state = (handle::STATE.to_owned(), Some("DEPROVISIONING".to_owned()));
        let changes = handle::changes(&Picture::from([state.clone()]), &note.shown);
        if changes.is_empty() {
            continue;
        }
        let message = format!("its document was deleted, and the cluster goes: {left}");
        let changes = Picture::from([state, (handle::MESSAGE.to_owned(), Some(message))]);
        let client = service.owner(&note.owner, now);
        let shown = note.shown.get(SHOWN).cloned();
        if machine::write(&client, vm, &changes, shown.as_deref()).is_ok() {
            let written = changes
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)));
            note.shown.extend(written);
            handles.note(vm, &note);
        }
    }
    Ok(())
}

/// Ends a handle as its owner: its cluster is gone.
fn terminate(service: &Service, cluster: u32, vm: u32, owner: &Owner, now: u64) {
    let handles = Handles::new(service.gate.dir());
    match service.owner(owner, now).vm_action(VmAction::TerminateHard, vm) {
        Ok(()) => log::info!("cluster {cluster}: gone, and its handle, VM {vm}, with it"),
        Err(e) if e.is_not_found() => {}
        // The sweep finds it.
        Err(e) => log::warn!("cluster {cluster}: gone, but its handle, VM {vm}, can't be terminated: {e}"),
    }
    handles.note(vm, &HandleNote::new(cluster, owner.clone(), false));
}
