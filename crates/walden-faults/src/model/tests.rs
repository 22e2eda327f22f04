//! Each thing that the comparison is there to notice, noticed.

use super::*;

/// Three single entries and a batch of three under `Always`, seq ids 1 to 6 with numbers 1 to 6.
fn told() -> Model {
    let mut model = Model::new();
    for number in 1..=3 {
        tell(&mut model, Event::Acked { seq: number, number, count: 1 });
    }
    tell(&mut model, Event::Acked { seq: 4, number: 4, count: 3 });
    model
}

fn tell(model: &mut Model, event: Event) {
    model.told(event, Strategy::Always).unwrap();
}

fn proofs() -> BTreeMap<u64, Proof> {
    (1..).zip((1..=3).map(Proof::single).chain(Proof::batch(4, 3))).collect()
}

fn found(first: u64, next: u64) -> Found {
    let mut entries = proofs();
    entries.retain(|seq, _| (first..next).contains(seq));
    Found { first, next, entries, meta: None }
}

fn wrong(model: &Model, found: Found, word: &str) {
    let error = model.clone().check(found, Fault::Kill).unwrap_err().to_string();
    assert!(error.contains(word), "{error}");
}

#[test]
fn what_was_told_is_there() {
    told().check(found(1, 7), Fault::Kill).unwrap();
    told().check(found(1, 7), Fault::Power).unwrap();
}

#[test]
fn an_entry_that_is_missing() {
    wrong(&told(), found(1, 4), "it ends before 4");
    wrong(&told(), found(2, 7), "it begins at 2");
    wrong(&told(), Found::nothing(), "it ends before 1");
}

#[test]
fn what_the_strategy_lets_go_is_let_go() {
    let mut model = Model::new();
    for (seq, strategy) in
        [(1, Strategy::Always), (2, Strategy::OsCache), (3, Strategy::Background)]
    {
        model.told(Event::Acked { seq, number: seq, count: 1 }, strategy).unwrap();
    }
    for (next, fault, fine) in [
        (4, Fault::Kill, true),
        (3, Fault::Kill, true),
        (2, Fault::Kill, false),
        (2, Fault::Power, true),
        (1, Fault::Power, false),
    ] {
        assert_eq!(model.clone().check(found(1, next), fault).is_ok(), fine, "{next}, {fault:?}");
    }
    tell(&mut model, Event::Durable { next: 4 });
    assert!(model.check(found(1, 3), Fault::Power).is_err());
}

#[test]
fn background_loses_two_buffers_at_most() {
    let mut model = Model::new();
    let end = 200;
    for seq in 1..end {
        model.told(Event::Acked { seq, number: seq, count: 1 }, Strategy::Background).unwrap();
    }
    let found = |next| Found {
        first: 1,
        next,
        entries: (1..next).map(|seq| (seq, Proof::single(seq))).collect(),
        meta: None,
    };
    model.clone().check(found(end), Fault::Kill).unwrap();
    let gone = |next: u64| (next..end).map(|seq| Proof::single(seq).bytes()).sum::<u64>();
    let enough = (1..end).find(|next| gone(*next) <= 2 * BUFFER).unwrap();
    model.clone().check(found(enough), Fault::Kill).unwrap();
    wrong(&model, found(enough - 1), "two buffers");
    model.clone().check(Found::nothing(), Fault::Power).unwrap();
    // What a cut took is not lost.
    tell(&mut model, Event::Begin(Change::Reset { next: 900, floor: 900 }));
    tell(&mut model, Event::Done { first: 900 });
    model.check(Found { first: 900, next: 900, ..Found::default() }, Fault::Kill).unwrap();
}

#[test]
fn an_entry_that_is_another() {
    let mut other = found(1, 7);
    other.entries.insert(2, Proof::single(77));
    wrong(&told(), other, "seq id 2");
}

#[test]
fn an_entry_that_is_there_twice() {
    let mut more = found(1, 7);
    more.next = 8;
    more.entries.insert(7, Proof::single(2));
    wrong(&told(), more, "twice");
}

#[test]
fn a_batch_in_parts() {
    let mut model = Model::new();
    tell(&mut model, Event::Acked { seq: 1, number: 1, count: 1 });
    wrong(&model, found(1, 6), "no successor");
    let mut without_a_beginning = found(1, 4);
    without_a_beginning.entries.insert(4, Proof { number: 6, index: 2, count: 3 });
    without_a_beginning.next = 5;
    wrong(&model, without_a_beginning, "no predecessor");
}

#[test]
fn a_cut_is_all_or_nothing() {
    let mut model = told();
    tell(&mut model, Event::Begin(Change::Back { last: 2, floor: 7 }));
    model.clone().check(found(1, 7), Fault::Kill).unwrap();
    model.clone().check(found(1, 3), Fault::Kill).unwrap();
    wrong(&model, found(1, 4), "ends before 4");
    tell(&mut model, Event::Done { first: 1 });
    model.clone().check(found(1, 3), Fault::Power).unwrap();
    wrong(&model, found(1, 7), "came back");
}

#[test]
fn a_cut_through_a_batch_is_no_torn_batch() {
    let mut model = told();
    tell(&mut model, Event::Begin(Change::Back { last: 5, floor: 7 }));
    tell(&mut model, Event::Done { first: 1 });
    model.check(found(1, 6), Fault::Kill).unwrap();
    tell(&mut model, Event::Begin(Change::Front(5)));
    tell(&mut model, Event::Done { first: 5 });
    model.check(found(5, 6), Fault::Kill).unwrap();
}

#[test]
fn a_reset_and_retention() {
    let mut model = told();
    tell(&mut model, Event::Begin(Change::Retain));
    model.clone().check(found(3, 7), Fault::Kill).unwrap();
    tell(&mut model, Event::Done { first: 3 });
    wrong(&model, found(4, 7), "begins at 4");
    tell(&mut model, Event::Begin(Change::Reset { next: 50, floor: 7 }));
    let empty = Found { first: 50, next: 50, ..Found::default() };
    model.clone().check(empty.clone(), Fault::Kill).unwrap();
    tell(&mut model, Event::Done { first: 50 });
    model.clone().check(empty, Fault::Power).unwrap();
    let mut ghost = Found { first: 50, next: 51, ..Found::default() };
    ghost.entries.insert(50, Proof::single(6));
    wrong(&model, ghost, "came back");
}

#[test]
fn metadata_is_old_or_new() {
    let with = |meta| Found { meta: Some(meta), ..found(1, 7) };
    let mut model = told();
    tell(&mut model, Event::Begin(Change::Meta(5)));
    model.clone().check(with(0), Fault::Kill).unwrap();
    // Nobody looked after the first fault, so either value may come to light after the second.
    model.check(found(1, 7), Fault::Kill).unwrap();
    model.clone().check(with(0), Fault::Kill).unwrap();
    model.clone().check(with(5), Fault::Kill).unwrap();
    wrong(&model, with(6), "meta");
    tell(&mut model, Event::Begin(Change::Meta(7)));
    tell(&mut model, Event::Done { first: 1 });
    wrong(&model, with(5), "meta");
}

#[test]
fn what_came_too_late_may_have_taken_place() {
    let mut model = told();
    model.told_too_late(Event::Acked { seq: 7, number: 7, count: 1 });
    model.told_too_late(Event::Begin(Change::Front(3)));
    model.told_too_late(Event::Done { first: 3 });
    model.clone().check(found(1, 7), Fault::Power).unwrap();
    model.clone().check(found(3, 7), Fault::Power).unwrap();
    wrong(&model, found(2, 7), "begins at 2");
}
