//! Lists of objects.

use super::read::{Element, Head, ObjectError};
use crate::xml::Parser;

/// The answer of a pool call: what could be read, and what could not.
///
/// One unreadable object does not hide the others. An XML error is different: what follows it can't be trusted, so the
/// whole pool is refused then, rather than objects appear to be gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool<T> {
    /// The objects, in the order of the answer (newest first, as a rule).
    pub items: Vec<T>,
    /// The objects that could not be read: id, if that much could be, and reason. They exist all the same.
    pub broken: Vec<(Option<u32>, String)>,
}

impl<T> Pool<T> {
    /// The objects that could be read.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.items.iter()
    }
}

/// Reads the pool's own element. Elements of other names in it are skipped.
pub(crate) fn read_pool<T: Element>(xml: &str) -> Result<Pool<T>, ObjectError> {
    let mut parser = Parser::new(xml);
    parser.root()?;
    let mut pool = Pool::default();
    while let Some(name) = parser.child()? {
        if *name != *T::NAME {
            parser.skip()?;
            continue;
        }
        let outside = parser.depth() - 1;
        let mut head = Head::default();
        match T::read(&mut parser, &mut head) {
            Ok(object) => pool.items.push(object),
            Err(ObjectError::Xml(error)) => return Err(error.into()),
            Err(error) => {
                parser.leave(outside)?;
                pool.broken.push((head.id, error.to_string()));
            }
        }
    }
    parser.finish()?;
    Ok(pool)
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            broken: Vec::new(),
        }
    }
}

impl<T> IntoIterator for Pool<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Pool<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cluster, Document};
    use super::*;
    use proptest::prelude::*;

    fn cluster(id: &str) -> String {
        format!("<CLUSTER><X><Y/></X><ID>{id}</ID><NAME>c</NAME><HOSTS><ID>{id}</ID></HOSTS></CLUSTER>")
    }

    #[test]
    fn a_broken_entry_does_not_hide_the_others() {
        let hosts =
            "<CLUSTER><ID>5</ID><HOSTS><ID>1</ID><ID>no</ID><ID>2</ID></HOSTS><NAME>x</NAME></CLUSTER>";
        let xml = format!(
            "<CLUSTER_POOL>{}<OTHER><CLUSTER/></OTHER>{}{hosts}<CLUSTER/>{}</CLUSTER_POOL>",
            cluster("1"),
            cluster("-7"),
            cluster("9")
        );
        let pool = read_pool::<Cluster>(&xml).unwrap();
        assert_eq!(pool.iter().map(|cluster| cluster.id).collect::<Vec<_>>(), [1, 9]);
        let number = "ID is no number in range".to_owned();
        let missing = "CLUSTER has no ID".to_owned();
        assert_eq!(
            pool.broken,
            [(None, number.clone()), (Some(5), number), (None, missing)]
        );
    }

    #[test]
    fn a_damaged_pool_is_refused_whole() {
        for xml in [
            "",
            "<P>",
            "<P><CLUSTER><ID>1</ID></P>",
            "<P><CLUSTER><ID>1</ID></CLUSTER>",
        ] {
            assert!(
                matches!(read_pool::<Cluster>(xml), Err(ObjectError::Xml(_))),
                "{xml}"
            );
        }
        assert_eq!(
            read_pool::<Document>("<DOCUMENT_POOL/>").unwrap(),
            Pool::default()
        );
    }

    proptest! {
        #[test]
        fn arbitrary_input_does_not_panic(noise in any::<String>(), cut in 0usize..200) {
            let xml = format!("<P>{}{}</P>", cluster("1"), cluster("2"));
            let head: String = xml.chars().take(cut).collect();
            let _ = read_pool::<Cluster>(&noise);
            let _ = read_pool::<Cluster>(&format!("{head}{noise}{}", &xml[head.len()..]));
        }
    }
}
