//! The images that clusters are made of: what the profiles ask for, and what a datastore has.

use oneks_core::profile::{Catalog, ImageMark};
use opennebula::objects::Image;

/// What an image is needed for.
#[derive(Debug, Clone, PartialEq)]
pub struct Purpose {
    /// As profiles call it: `seed`, `node`, `router`.
    pub name: String,
    /// How such an image is recognised; the first mark that fits decides.
    pub marks: Vec<ImageMark>,
}

/// What a datastore has for a purpose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Found<'a> {
    /// The image that clusters would use.
    Ready(&'a Image),
    /// One that fits but is not usable now.
    NotReady(&'a Image),
    /// None fits.
    Missing,
}

impl Purpose {
    /// All purposes of all families. Families that recognise an image differently have each their own.
    pub fn of(catalog: &Catalog) -> Vec<Self> {
        let families = catalog
            .control_planes
            .values()
            .chain(catalog.node_groups.values());
        let mut all: Vec<Self> = Vec::new();
        for (name, marks) in families.flat_map(|f| &f.images) {
            let purpose = Self {
                name: name.clone(),
                marks: marks.clone(),
            };
            if !all.contains(&purpose) {
                all.push(purpose);
            }
        }
        all
    }

    /// What a datastore has, by the rule of the hooks: the newest usable image that has the mark.
    pub fn find<'a>(&self, images: &'a [Image], datastore: u32) -> Found<'a> {
        let newest = |usable: bool| {
            self.marks.iter().find_map(|mark| {
                images
                    .iter()
                    .filter(|i| i.datastore_id == Some(datastore) && i.state.is_usable() == usable)
                    .filter(|i| has(i, mark))
                    .max_by_key(|i| i.id)
            })
        };
        match (newest(true), newest(false)) {
            (Some(image), _) => Found::Ready(image),
            (None, Some(image)) => Found::NotReady(image),
            (None, None) => Found::Missing,
        }
    }

    /// The marks in words.
    pub fn marks(&self) -> String {
        let marks: Vec<String> = self
            .marks
            .iter()
            .map(|m| format!("{}={}", m.attribute, m.value))
            .collect();
        marks.join(" or ")
    }
}

fn has(image: &Image, mark: &ImageMark) -> bool {
    let value = if mark.attribute == "NAME" {
        Some(image.name.as_str())
    } else {
        image.template.get(&mark.attribute)
    };
    value == Some(mark.value.as_str())
}
