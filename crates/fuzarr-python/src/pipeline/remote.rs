//! Remote stores, written as zarr-python would have it.

use std::sync::Arc;

use fuzarr::store::{
    Answer, Capabilities, Content, Listing, Moment, Object, Precondition, Store, Upload, Version,
};

/// A store whose objects are deleted when nothing is left in them, although it cannot delete on
/// condition: it looks whether the object is as it was, and deletes it then. Who writes in
/// between loses, as everybody does who changes an object at the same time as zarr-python.
#[derive(Debug)]
pub(super) struct Emptied(pub(super) Arc<dyn Store>);

#[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
impl Store for Emptied {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities().with_conditional_delete(true)
    }

    fn open<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Object>>> {
        self.0.open(key)
    }

    fn open_at<'a>(
        &'a self,
        key: &'a str,
        version: &Version,
    ) -> Answer<'a, Option<Box<dyn Object>>> {
        self.0.open_at(key, version)
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content: Content<'a>,
        precondition: Precondition,
    ) -> Answer<'a, Option<Version>> {
        self.0.put(key, content, precondition)
    }

    fn begin<'a>(&'a self, key: &'a str) -> Answer<'a, Box<dyn Upload>> {
        self.0.begin(key)
    }

    fn patch<'a>(
        &'a self,
        key: &'a str,
        changes: &'a [(u64, &'a [u8])],
        precondition: Precondition,
    ) -> Answer<'a, ()> {
        self.0.patch(key, changes, precondition)
    }

    fn delete<'a>(&'a self, key: &'a str, precondition: Precondition) -> Answer<'a, ()> {
        self.0.delete(key, precondition)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        self.0.list(prefix)
    }

    fn delete_all<'a>(&'a self, prefix: &'a str) -> Answer<'a, ()> {
        self.0.delete_all(prefix)
    }

    fn rename_all<'a>(&'a self, from: &'a str, to: &'a str) -> Answer<'a, ()> {
        self.0.rename_all(from, to)
    }

    fn moment(&self) -> Moment {
        self.0.moment()
    }

    fn settle(&self, since: Moment) -> Answer<'_, ()> {
        self.0.settle(since)
    }
}
