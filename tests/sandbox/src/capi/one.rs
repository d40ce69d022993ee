//! OpenNebula as CAPONE and the cloud controller see it: the calls of their Go client, with its lookups by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use opennebula::objects::{Image, Vm, VmTemplate, Vnet, Vrouter};
use opennebula::template::{Attribute, AttributeValue, Template};
use opennebula::xmlrpc::Value;
use quick_xml::events::Event;

use crate::guest::{CallError, Cloud};

/// Why a step against OpenNebula failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OneError {
    /// No object of that name can be seen.
    #[error("resource not found")]
    NotFound,
    /// Several objects of that name can be seen.
    #[error("multiple resources with that name")]
    Ambiguous,
    /// OpenNebula refused the call.
    #[error("OpenNebula error [{code}]: {message}")]
    Refused { code: i64, message: String },
    /// The answer could not be read, or a template not be written.
    #[error("{0}")]
    Malformed(String),
}

impl From<CallError> for OneError {
    fn from(error: CallError) -> Self {
        Self::Refused {
            code: error.code,
            message: error.message,
        }
    }
}

/// The client, with the credential that it uses.
pub(crate) struct One<'a> {
    pub(crate) cloud: &'a mut dyn Cloud,
    pub(crate) auth: &'a str,
    pub(crate) reads: &'a mut Reads,
}

/// Ids and names.
type Pool = Arc<Vec<(u32, String)>>;

/// Answers that can't have changed since: what was read in this turn of the controllers, before anything was written.
/// Every machine reads the same lists, every minute.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    pools: BTreeMap<(String, &'static str), Pool>,
    routers: BTreeMap<(String, u32), Vrouter>,
}

impl Reads {
    pub(crate) fn clear(&mut self) {
        self.pools.clear();
        self.routers.clear();
    }
}

impl One<'_> {
    pub(crate) fn template_by_name(&mut self, name: &str) -> Result<u32, OneError> {
        let pool = self.pool("one.templatepool.info", "VMTEMPLATE", &all())?;
        by_name(&pool, name)
    }

    pub(crate) fn template(&mut self, id: u32) -> Result<VmTemplate, OneError> {
        let text = self.text("one.template.info", &[id.into(), false.into(), true.into()])?;
        VmTemplate::from_xml(&text).map_err(malformed)
    }

    pub(crate) fn create_template(&mut self, text: &str) -> Result<u32, OneError> {
        self.id("one.template.allocate", &[text.into()])
    }

    pub(crate) fn delete_template(&mut self, id: u32) -> Result<(), OneError> {
        self.id("one.template.delete", &[id.into(), false.into()])
            .map(drop)
    }

    pub(crate) fn image_by_name(&mut self, name: &str) -> Result<u32, OneError> {
        let pool = self.pool("one.imagepool.info", "IMAGE", &all())?;
        by_name(&pool, name)
    }

    pub(crate) fn image(&mut self, id: u32) -> Result<Image, OneError> {
        let text = self.text("one.image.info", &[id.into(), true.into()])?;
        Image::from_xml(&text).map_err(malformed)
    }

    pub(crate) fn create_image(&mut self, text: &str, datastore: u32) -> Result<u32, OneError> {
        self.id(
            "one.image.allocate",
            &[text.into(), datastore.into(), false.into()],
        )
    }

    pub(crate) fn vrouter_by_name(&mut self, name: &str) -> Result<u32, OneError> {
        let pool = self.pool("one.vrouterpool.info", "VROUTER", &all())?;
        by_name(&pool, name)
    }

    pub(crate) fn vrouter(&mut self, id: u32) -> Result<Vrouter, OneError> {
        let key = (self.auth.to_owned(), id);
        if let Some(router) = self.reads.routers.get(&key) {
            return Ok(router.clone());
        }
        let text = self.text("one.vrouter.info", &[id.into(), true.into()])?;
        let router = Vrouter::from_xml(&text).map_err(malformed)?;
        self.reads.routers.insert(key, router.clone());
        Ok(router)
    }

    pub(crate) fn create_vrouter(&mut self, template: &Template) -> Result<u32, OneError> {
        let text = written(template)?;
        self.id("one.vrouter.allocate", &[text.into()])
    }

    pub(crate) fn instantiate_vrouter(
        &mut self,
        id: u32,
        replicas: i64,
        template: u32,
        extra: &Template,
    ) -> Result<(), OneError> {
        let text = written(extra)?;
        let params = [
            id.into(),
            replicas.into(),
            template.into(),
            "".into(),
            false.into(),
            text.into(),
        ];
        self.id("one.vrouter.instantiate", &params).map(drop)
    }

    pub(crate) fn delete_vrouter(&mut self, id: u32) -> Result<(), OneError> {
        self.id("one.vrouter.delete", &[id.into()]).map(drop)
    }

    pub(crate) fn vm_by_name(&mut self, name: &str) -> Result<u32, OneError> {
        let pool = self.pool("one.vmpool.info", "VM", &not_done())?;
        by_name(&pool, name)
    }

    pub(crate) fn vm(&mut self, id: u32) -> Result<Vm, OneError> {
        let text = self.text("one.vm.info", &[id.into(), true.into()])?;
        Vm::from_xml(&text).map_err(malformed)
    }

    /// Ids of all VMs that can be seen and are not DONE, as the cloud controller lists them.
    pub(crate) fn vm_ids(&mut self) -> Result<Vec<u32>, OneError> {
        let pool = self.pool("one.vmpool.infoextended", "VM", &not_done())?;
        Ok(pool.iter().map(|(id, _)| *id).collect())
    }

    pub(crate) fn create_vm(&mut self, template: &Template) -> Result<u32, OneError> {
        let text = written(template)?;
        self.id("one.vm.allocate", &[text.into(), false.into()])
    }

    pub(crate) fn update_vm(&mut self, id: u32, template: &Template) -> Result<(), OneError> {
        let text = written(template)?;
        self.id("one.vm.update", &[id.into(), text.into(), 1.into()])
            .map(drop)
    }

    pub(crate) fn terminate_vm(&mut self, id: u32) -> Result<(), OneError> {
        self.id("one.vm.action", &["terminate-hard".into(), id.into()])
            .map(drop)
    }

    pub(crate) fn vnet_by_name(&mut self, name: &str) -> Result<u32, OneError> {
        let pool = self.pool("one.vnpool.info", "VNET", &all())?;
        by_name(&pool, name)
    }

    pub(crate) fn vnet(&mut self, id: u32) -> Result<Vnet, OneError> {
        let text = self.text("one.vn.info", &[id.into(), true.into()])?;
        Vnet::from_xml(&text).map_err(malformed)
    }

    pub(crate) fn reserve(&mut self, id: u32, template: &Template) -> Result<u32, OneError> {
        let text = written(template)?;
        self.id("one.vn.reserve", &[id.into(), text.into()])
    }

    pub(crate) fn hold_lease(&mut self, id: u32, ip: &str) -> Result<(), OneError> {
        self.lease("one.vn.hold", id, ip)
    }

    pub(crate) fn release_lease(&mut self, id: u32, ip: &str) -> Result<(), OneError> {
        self.lease("one.vn.release", id, ip)
    }

    pub(crate) fn delete_vnet(&mut self, id: u32) -> Result<(), OneError> {
        self.id("one.vn.delete", &[id.into()]).map(drop)
    }

    fn lease(&mut self, method: &str, id: u32, ip: &str) -> Result<(), OneError> {
        let mut template = Template::new();
        template.set_vector("LEASES", [("IP", ip)]);
        let text = written(&template)?;
        self.id(method, &[id.into(), text.into()]).map(drop)
    }

    fn text(&mut self, method: &str, params: &[Value]) -> Result<String, OneError> {
        match self.cloud.call(self.auth, method, params)? {
            Value::String(text) => Ok(text),
            _ => Err(OneError::Malformed(format!("{method} answered no text"))),
        }
    }

    fn pool(&mut self, method: &'static str, element: &str, params: &[Value]) -> Result<Pool, OneError> {
        let key = (self.auth.to_owned(), method);
        if let Some(pool) = self.reads.pools.get(&key) {
            return Ok(Arc::clone(pool));
        }
        let text = self.text(method, params)?;
        let pool = Arc::new(entries(&text, element)?);
        self.reads.pools.insert(key, Arc::clone(&pool));
        Ok(pool)
    }

    /// A call that changes something.
    fn id(&mut self, method: &str, params: &[Value]) -> Result<u32, OneError> {
        self.reads.clear();
        match self.cloud.call(self.auth, method, params)? {
            Value::Int(id) => u32::try_from(id).map_err(malformed),
            _ => Err(OneError::Malformed(format!("{method} answered no id"))),
        }
    }
}

/// Sets a value in the `index`-th vector of a name; vectors are added until there is one.
pub(crate) fn set_in_nth(template: &mut Template, name: &str, index: usize, key: &str, text: &str) {
    let mut attributes: Vec<Attribute> = template.iter().cloned().collect();
    let is_vector = |attribute: &Attribute| {
        attribute.name == name && matches!(attribute.value, AttributeValue::Vector(_))
    };
    while attributes.iter().filter(|attribute| is_vector(attribute)).count() <= index {
        attributes.push(Attribute {
            name: name.into(),
            value: AttributeValue::Vector(Vec::new()),
        });
    }
    let found = attributes
        .iter_mut()
        .filter(|attribute| is_vector(attribute))
        .nth(index);
    if let Some(Attribute {
        value: AttributeValue::Vector(pairs),
        ..
    }) = found
    {
        pairs.retain(|(existing, _)| !existing.eq_ignore_ascii_case(key));
        pairs.push((key.to_owned(), text.to_owned()));
    }
    *template = attributes.into_iter().collect();
}

fn not_done() -> [Value; 4] {
    [(-2).into(), (-1).into(), (-1).into(), (-1).into()]
}

fn all() -> [Value; 3] {
    [(-2).into(), (-1).into(), (-1).into()]
}

fn written(template: &Template) -> Result<String, OneError> {
    template.to_text().map_err(malformed)
}

fn malformed(error: impl std::fmt::Display) -> OneError {
    OneError::Malformed(error.to_string())
}

fn by_name(pool: &[(u32, String)], name: &str) -> Result<u32, OneError> {
    let mut found = pool.iter().filter(|(_, entry)| entry == name);
    match (found.next(), found.next()) {
        (None, _) => Err(OneError::NotFound),
        (Some((id, _)), None) => Ok(*id),
        (Some(_), Some(_)) => Err(OneError::Ambiguous),
    }
}

/// Ids and names in a pool, nothing else: pools are long and are read often.
fn entries(pool: &str, element: &str) -> Result<Vec<(u32, String)>, OneError> {
    let mut reader = quick_xml::Reader::from_str(pool);
    let mut found = Vec::new();
    let (mut depth, mut inside, mut field) = (0_usize, false, None);
    let (mut id, mut name) = (String::new(), String::new());
    loop {
        match reader.read_event().map_err(malformed)? {
            Event::Start(tag) => {
                depth += 1;
                match (depth, tag.name().as_ref()) {
                    (2, tag) => {
                        inside = tag == element;
                        id.clear();
                        name.clear();
                    }
                    (3, "ID") if inside => field = Some(true),
                    (3, "NAME") if inside => field = Some(false),
                    _ => {}
                }
            }
            Event::End(_) => {
                if depth == 2 && inside {
                    found.push((id.trim().parse().map_err(malformed)?, name.clone()));
                }
                depth = depth.saturating_sub(1);
                field = None;
            }
            Event::Text(text) if field.is_some() => {
                if field == Some(true) { &mut id } else { &mut name }.push_str(&text);
            }
            Event::CData(text) if field.is_some() => {
                if field == Some(true) { &mut id } else { &mut name }.push_str(&text);
            }
            Event::GeneralRef(reference) if field == Some(false) => {
                name.push_str(match reference.as_ref() {
                    "amp" => "&",
                    "lt" => "<",
                    "gt" => ">",
                    "quot" => "\"",
                    "apos" => "'",
                    _ => "",
                });
            }
            Event::Eof => return Ok(found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: &str = "<VM_POOL><VM><ID>4</ID><NAME>a</NAME><TEMPLATE><NIC><ID>9</ID><NAME>x</NAME></NIC></TEMPLATE></VM>\
        <VM><ID>3</ID><NAME><![CDATA[b]]></NAME></VM><VM><ID>2</ID><NAME>b</NAME></VM><VM><ID>1</ID><NAME>c &amp; d</NAME></VM>\
        <OTHER><ID>7</ID><NAME>a</NAME></OTHER></VM_POOL>";

    #[test]
    fn names_find_one_none_or_too_many() {
        for (name, wanted) in [
            ("a", Ok(4)),
            ("b", Err(OneError::Ambiguous)),
            ("c & d", Ok(1)),
            ("x", Err(OneError::NotFound)),
        ] {
            assert_eq!(by_name(&entries(POOL, "VM").unwrap(), name), wanted, "{name}");
        }
        assert_eq!(
            by_name(&entries("<VM_POOL/>", "VM").unwrap(), "a"),
            Err(OneError::NotFound)
        );
    }

    #[test]
    fn the_first_nic_is_overwritten_and_others_are_left() {
        let mut template =
            Template::parse("NIC=[NETWORK=\"old\",MODEL=\"virtio\"]\nNIC=[NETWORK=\"second\"]").unwrap();
        set_in_nth(&mut template, "NIC", 0, "NETWORK", "private");
        let nics: Vec<_> = template.get_vectors("NIC").map(<[_]>::to_vec).collect();
        assert_eq!(
            nics[0],
            [
                ("MODEL".into(), "virtio".into()),
                ("NETWORK".into(), "private".into())
            ]
        );
        assert_eq!(nics[1], [("NETWORK".into(), "second".into())]);
        let mut empty = Template::new();
        set_in_nth(&mut empty, "NIC", 1, "NETWORK", "b");
        assert_eq!(empty.get_vectors("NIC").count(), 2);
    }
}
