//! A pool: the objects of one kind by id.

use std::collections::BTreeMap;

use opennebula::template::Template;

use crate::meta::Meta;
use crate::xml::Xml;

/// An object that has an owner and a template.
pub(crate) trait Object {
    fn meta(&self) -> &Meta;
    fn meta_mut(&mut self) -> &mut Meta;
    /// The template that `update` changes.
    fn template(&self) -> &Template;
    fn template_mut(&mut self) -> &mut Template;
    /// The full object.
    fn write(&self, xml: &mut Xml);
    /// Ids of the clusters that the object is in.
    fn clusters(&self) -> &[u32] {
        &[]
    }

    fn to_xml(&self) -> String {
        let mut xml = Xml::new();
        self.write(&mut xml);
        xml.into_string()
    }
}

/// Ids count up from 0 and are never used again.
#[derive(Clone, Debug)]
pub(crate) struct Pool<T> {
    objects: BTreeMap<u32, T>,
    next: u32,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<T> Pool<T> {
    /// The id that the next object gets. It stays free if the object is refused in the end.
    pub(crate) fn next_id(&self) -> u32 {
        self.next
    }

    pub(crate) fn insert(&mut self, id: u32, object: T) {
        self.next = self.next.max(id + 1);
        self.objects.insert(id, object);
    }

    /// Ids below `next` are not given out any more.
    pub(crate) fn skip_to(&mut self, next: u32) {
        self.next = self.next.max(next);
    }

    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        self.objects.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.objects.get_mut(&id)
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<T> {
        self.objects.remove(&id)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, &T)> {
        self.objects.iter().map(|(id, object)| (*id, object))
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.objects.values()
    }

    pub(crate) fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.objects.values_mut()
    }

    pub(crate) fn ids(&self) -> Vec<u32> {
        self.objects.keys().copied().collect()
    }
}

impl<T: Object> Pool<T> {
    /// The id of the object of that name and owner.
    pub(crate) fn find(&self, name: &str, uid: u32) -> Option<u32> {
        let found = self
            .values()
            .find(|object| object.meta().name == name && object.meta().uid == uid);
        found.map(|object| object.meta().id)
    }
}
