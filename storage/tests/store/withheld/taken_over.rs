//! What a connection has aside when the next one of its client takes over.

use barnacle_storage::*;

use super::{committed, crash, fails, own_log, publish_from, waits, with_messages};
use crate::stepped::Stepped;
use crate::support::*;

/// What a connection has aside, and no longer wants, is answered in its order and never takes effect; what it says then waits for
/// nothing.
#[test]
fn what_is_withdrawn_never_takes_effect_and_nothing_stands_behind_it() {
    let (mut stepped, a, b) = with_messages();
    stepped.memory.withhold(own_log(&a));
    let fence = Some((b.id, b.epoch));
    let of_b = |stepped: &Stepped, operations: Vec<Operation>| {
        stepped.submit(Transaction { source: Some(7), fence, operations })
    };
    let publishes = |stepped: &Stepped, topic: &str| {
        let operations = vec![publish(&stepped.store, topic, "of b")];
        of_b(stepped, operations)
    };
    let (kept, first) = (publishes(&stepped, "b"), publishes(&stepped, "a"));
    stepped.stepper.commit();
    committed(&kept);
    let other = publish_from(&stepped, 2, "a", "other");
    // One is aside already, one comes into the same batch with the wish.
    let behind = publishes(&stepped, "b");
    stepped.store.withdraw(7);
    let detach = Detach { session_expiry_interval: HOUR, will: WillFate::Publish, now_millis: NOW };
    let leaves = of_b(&stepped, vec![Operation::NoteUnsaved, Operation::Detach(detach)]);
    stepped.stepper.commit();
    for withdrawn in [first, behind] {
        assert!(matches!(withdrawn.try_recv(), Ok(Ok(Outcome::Withdrawn))));
    }
    committed(&leaves);
    waits(&other);
    assert!(fails(&stepped), "another still needs the part");

    // What b has been sent of its log is in no record.
    let head = stepped.store.head();
    let mut answers = stepped.commit(None, vec![Operation::Attach(attach("b"))]).answers;
    let Some(Answer::Attached(attached)) = answers.pop() else { panic!("an Attach is answered") };
    assert_eq!(attached.session.map(|session| session.sent_unsaved_through), Some(Some(head)));

    stepped.memory.give_everything();
    stepped.stepper.commit();
    committed(&other);
    assert_eq!(stepped.store.pending_bytes(), 0);
    // Nothing of it is left, and a wish of one who has nothing aside is none.
    stepped.store.withdraw(7);
    stepped.stepper.commit();
    let mut stepped = crash(stepped);
    let (a, b) = (stepped.attach("a"), stepped.attach("b"));
    assert_eq!(
        (stepped.read(&a), stepped.read(&b)),
        (vec!["before".into(), "other".into()], vec!["before".into(), "of b".into()])
    );
}
