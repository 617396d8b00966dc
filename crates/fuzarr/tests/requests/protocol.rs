//! The protocol of machines, driven by somebody who does not keep to it.

use std::sync::Arc;

use bytes::Bytes;
use fuzarr::buffer::{Buffer, Output};
use fuzarr::plan::{Machine, Purpose, ReadOptions, ReadPlan, Scratch, Step};
use fuzarr::store::{MemoryStore, Piece, Precondition, Store};
use fuzarr::{Kind, Selection};
use serde_json::{Value, json};

use super::{document, open};

/// A plan of everything in an array of 64 bytes, one object, into which large chunks are read.
fn plan(codecs: &Value) -> ReadPlan {
    let array = open(Arc::new(MemoryStore::new()), &document(64, 64, codecs), &Arc::default());
    let resolved = array.resolve(&Selection::all()).unwrap();
    let mut options = ReadOptions::default();
    options.limits.tuning.large_chunk = 1;
    ReadPlan::new(Arc::clone(array.layout()), resolved, options).unwrap()
}

fn piece() -> Vec<Piece> {
    let bytes = Buffer::Shared(Bytes::from(vec![7; 64]));
    vec![Piece { start: 0, object_size: 64, bytes }]
}

#[test]
fn memory_is_given_out_during_a_fetch_only() {
    // Seen to fail: while units ran, a second caller was given the memory that they were writing to.
    let plan = plan(&json!(["bytes"]));
    let capabilities = MemoryStore::new().capabilities();
    let (mut machines, output) = plan.machines(Output::owned(vec![0; 64]), capabilities);
    let machine = &mut machines[0];
    assert_eq!(machine.next().unwrap(), Step::Fetch(Purpose::Whole));
    assert_eq!(machine.targets(Some(64)), 1);
    machine.supply(Some(&mut piece()), Precondition::None);
    assert_eq!(machine.next().unwrap(), Step::Work(1));
    assert!(machine.target(0).is_none());
    machine.run(0, &mut Scratch::default()).unwrap();

    machine.restart();
    assert_eq!(machine.next().unwrap(), Step::Fetch(Purpose::Whole));
    let (start, memory) = machine.target(0).unwrap();
    assert_eq!((start, memory.len(), machine.target(0).is_none()), (0, 64, true));
    memory.fill(8);
    machine.placed();
    machine.supply(Some(&mut Vec::new()), Precondition::None);
    assert_eq!(machine.next().unwrap(), Step::Done { present: true });
    drop(machines);
    assert_eq!(Arc::into_inner(output).unwrap().into_vec().unwrap(), [8; 64]);
}

#[test]
fn a_read_does_not_go_on_without_its_units() {
    // Seen to fail: what no unit had decoded was told to be there.
    let capabilities = MemoryStore::new().capabilities();
    for missing in [false, true] {
        let plan = plan(&json!(["bytes"]));
        let (mut machines, _output) = plan.machines(Output::owned(vec![0; 64]), capabilities);
        let machine = &mut machines[0];
        for _ in 0..2 {
            assert_eq!(machine.next().unwrap(), Step::Fetch(Purpose::Whole));
            machine.without_targets();
            let mut pieces = piece();
            machine.supply((!missing).then_some(&mut pieces), Precondition::None);
            assert_eq!(machine.next().unwrap(), Step::Work(1));
            let error = machine.next().unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
            machine.run(0, &mut Scratch::default()).unwrap();
            assert!(machine.run(0, &mut Scratch::default()).is_err());
            assert_eq!(machine.next().unwrap(), Step::Done { present: !missing });
            // What was begun before it started again does not count.
            machine.restart();
        }
    }
}
