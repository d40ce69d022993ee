//! Whole pools, however large: page by page.
//!
//! oned counts off pages from the beginning of the list each time. An object that disappears between two pages moves
//! all behind it one place forward, and a page that simply followed on would leave one out; whoever looks for what there
//! is before making it anew would make it twice. So each page begins within the one before. If it does not begin with an
//! object that was seen, too many have gone, and the reading begins again.

use std::collections::BTreeSet;

use super::{PoolFilter, VmStateFilter};
use crate::client::Client;
use crate::error::Error;
use crate::objects::{Document, Element, Pool, Vm, VmOutline};
use crate::xmlrpc::Value;

/// Objects of a page. Large enough that nearly every cloud has one page, small enough for the longest answer that is
/// read: VMs have 5 KiB as a rule, clusters 10 to 30.
const VMS: u32 = 4000;
const DOCUMENTS: u32 = 2000;

/// How many objects of a page are in the next one too.
const OVERLAP: u32 = 100;

/// How often the reading begins.
const ATTEMPTS: u32 = 5;

impl Client {
    /// All VMs in full, without those that are not wanted.
    ///
    /// # Errors
    /// Those of the calls; the pool changes faster than it can be read.
    pub fn every_vm(
        &self,
        filter: PoolFilter,
        state: VmStateFilter,
        wanted: impl Fn(&Vm) -> bool,
    ) -> Result<Pool<Vm>, Error> {
        self.vms(filter, state, |vm: &Vm| vm.id, wanted)
    }

    /// All VMs in outline, without those that are not wanted. oned sends as much as for [`Client::every_vm`], of which
    /// most is passed over.
    ///
    /// # Errors
    /// Those of the calls; the pool changes faster than it can be read.
    pub fn every_vm_outline(
        &self,
        filter: PoolFilter,
        state: VmStateFilter,
        wanted: impl Fn(&VmOutline) -> bool,
    ) -> Result<Pool<VmOutline>, Error> {
        self.vms(filter, state, |vm: &VmOutline| vm.id, wanted)
    }

    fn vms<T: Element>(
        &self,
        filter: PoolFilter,
        state: VmStateFilter,
        id: impl Fn(&T) -> u32,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Pool<T>, Error> {
        let params = |offset, size| vec![filter.into(), offset, size, state.into()];
        self.whole("one.vmpool.infoextended", VMS, &params, id, wanted)
    }

    /// All documents of type `kind`, with their content.
    ///
    /// # Errors
    /// Those of the calls; the pool changes faster than it can be read.
    pub fn every_document(&self, filter: PoolFilter, kind: u32) -> Result<Pool<Document>, Error> {
        let params = |offset, size| vec![filter.into(), offset, size, kind.into()];
        self.whole(
            "one.documentpool.info",
            DOCUMENTS,
            &params,
            |document: &Document| document.id,
            |_| true,
        )
    }

    fn whole<T: Element>(
        &self,
        method: &str,
        size: u32,
        params: &impl Fn(Value, Value) -> Vec<Value>,
        id: impl Fn(&T) -> u32,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Pool<T>, Error> {
        let page = |offset: u32| self.pool(method, params(offset.into(), Value::Int(-i64::from(size))));
        for _ in 0..ATTEMPTS {
            if let Some(pool) = read(size, OVERLAP, page, &id, &wanted)? {
                return Ok(pool);
            }
        }
        Err(Error::Reply {
            method: method.to_owned(),
            what: "objects go faster than their list can be read".to_owned(),
        })
    }
}

/// Reads page after page. `None` if a page does not join the one before.
fn read<T, E>(
    size: u32,
    overlap: u32,
    mut page: impl FnMut(u32) -> Result<Pool<T>, E>,
    id: impl Fn(&T) -> u32,
    wanted: impl Fn(&T) -> bool,
) -> Result<Option<Pool<T>>, E> {
    let mut all = Pool::default();
    let mut seen = BTreeSet::new();
    let mut offset = 0;
    loop {
        let next = page(offset)?;
        let count = next.items.len() + next.broken.len();
        // Broken ones have lost their place among the others; one of them may have been the first.
        let broken = next.broken.iter().filter_map(|(id, _)| *id);
        let joins = next
            .items
            .first()
            .map(&id)
            .into_iter()
            .chain(broken)
            .any(|id| seen.contains(&id));
        if offset > 0 && !joins {
            return Ok(None);
        }
        for item in next.items {
            if seen.insert(id(&item)) && wanted(&item) {
                all.items.push(item);
            }
        }
        for (id, reason) in next.broken {
            if id.is_none_or(|id| seen.insert(id)) {
                all.broken.push((id, reason));
            }
        }
        if u32::try_from(count).unwrap_or(u32::MAX) < size {
            return Ok(Some(all));
        }
        offset += size - overlap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A pool in which things happen between two pages.
    fn pages(
        mut there: Vec<u32>,
        size: usize,
        mut happens: impl FnMut(&mut Vec<u32>),
    ) -> impl FnMut(u32) -> Result<Pool<u32>, ()> {
        move |offset| {
            let items = there
                .iter()
                .skip(usize::try_from(offset).unwrap())
                .take(size)
                .copied()
                .collect();
            happens(&mut there);
            Ok(Pool {
                items,
                broken: Vec::new(),
            })
        }
    }

    fn whole(page: impl FnMut(u32) -> Result<Pool<u32>, ()>, size: u32) -> Option<Vec<u32>> {
        read(size, 3, page, |id| *id, |_| true)
            .unwrap()
            .map(|pool| pool.items)
    }

    #[test]
    fn every_object_comes_once_whatever_their_number() {
        for count in 0..50 {
            let there: Vec<u32> = (0..count).rev().collect();
            assert_eq!(
                whole(pages(there.clone(), 10, |_| {}), 10),
                Some(there),
                "{count}"
            );
        }
    }

    #[test]
    fn a_small_pool_is_one_call() {
        let mut calls = 0;
        let mut page = pages((0..9).collect(), 10, |_| {});
        let counted = |offset| {
            calls += 1;
            page(offset)
        };
        assert_eq!(whole(counted, 10).map(|all| all.len()), Some(9));
        assert_eq!(calls, 1);
    }

    #[test]
    fn where_more_go_than_pages_overlap_nothing_is_guessed() {
        let page = pages((0..30).collect(), 10, |there| {
            drop(there.drain(..8.min(there.len())));
        });
        assert_eq!(whole(page, 10), None);
    }

    #[test]
    fn what_can_t_be_read_counts_and_is_named_once() {
        let page = |offset: u32| -> Result<Pool<u32>, ()> {
            let all = (offset..15.min(offset + 10)).collect::<Vec<_>>();
            let (broken, items) = all.into_iter().partition(|id| id % 2 == 1);
            let broken: Vec<u32> = broken;
            Ok(Pool {
                items,
                broken: broken
                    .into_iter()
                    .map(|id| (Some(id), "why".to_owned()))
                    .collect(),
            })
        };
        let pool = read(10, 3, page, |id| *id, |_| true).unwrap().unwrap();
        assert_eq!((pool.items.len(), pool.broken.len()), (8, 7));
    }

    proptest! {
        #[test]
        fn what_stays_is_never_left_out(
            count in 0u32..60,
            going in proptest::collection::vec(proptest::collection::vec(0usize..60, 0..4), 0..12),
            coming in proptest::collection::vec(any::<bool>(), 0..12),
        ) {
            let mut step = 0;
            let (mut gone, mut new) = (BTreeSet::new(), 1000);
            let happens = |there: &mut Vec<u32>| {
                for at in going.get(step).into_iter().flatten() {
                    if *at < there.len() {
                        gone.insert(there.remove(*at));
                    }
                }
                if coming.get(step) == Some(&true) {
                    there.insert(0, new);
                    new += 1;
                }
                step += 1;
            };
            let all = whole(pages((0..count).rev().collect(), 10, happens), 10);
            if let Some(all) = all {
                let unique: BTreeSet<u32> = all.iter().copied().collect();
                prop_assert_eq!(unique.len(), all.len());
                prop_assert!((0..count).all(|id| gone.contains(&id) || unique.contains(&id)));
            }
        }
    }
}
