//! Before and after a fault: waiting for load, waiting for rest, and taking stock of what is missing.

use crate::books::finding::Kind;
use crate::books::message::MessageId;
use crate::books::topics::topics;
use crate::report::{LostMessage, Mark, Timeline};
use crate::store::Store;
use crate::world::{Books, Mode, World};
use std::time::{Duration, Instant};

/// How long nothing may come when something is known to be wrong already.
const PATIENCE_WHEN_WRONG: Duration = Duration::from_millis(1_500);

/// The same, while wills may be due: a keep-alive of one second, half as much again, and a Will Delay.
const PATIENCE_FOR_WILLS: Duration = Duration::from_millis(4_000);

/// A settling that takes longer than this is no rest, whatever still moves. A slow reader may need minutes for its backlog.
const LIMIT: Duration = Duration::from_secs(1_800);

/// Lost messages that a timeline shows.
const SHOWN: usize = 100;

/// Waits until enough is acknowledged. False, and a finding, if it never is.
pub(crate) fn load(store: &mut Store<'_>) -> bool {
    let before = store.world.books().ledger.acknowledged;
    let wanted = store.options.acknowledged + store.random.below(store.options.acknowledged.max(1));
    let end = wait(store, |books, _| books.ledger.acknowledged - before >= wanted);
    match end {
        End::Done => true,
        End::Wrong => false,
        End::Silence => {
            let acknowledged = store.world.books().ledger.acknowledged - before;
            let text = format!("under load, {acknowledged} messages were acknowledged and then no more");
            store.world.found("the lab", Kind::Stuck.says(text), String::new());
            false
        }
    }
}

/// Lets every client finish what it began and every session fetch what it is owed. What does not come is a finding; the
/// lost messages are returned.
pub(crate) fn settle(store: &mut Store<'_>, with_wills: bool) -> Vec<LostMessage> {
    for waits in &mut store.world.books().unsettled {
        *waits = Some("has not looked yet".to_owned());
    }
    store.world.set_mode(Mode::Settle);
    store.mark("no new messages from here on".to_owned());
    let begin = Instant::now();
    let (mut moved, mut steps) = (Instant::now(), 0);
    loop {
        std::thread::sleep(Duration::from_millis(3));
        let books = store.world.books();
        if books.steps != steps {
            steps = books.steps;
            moved = Instant::now();
        }
        if is_at_rest(&books, with_wills) {
            break;
        }
        let patience = match books.findings.is_empty() && books.went_with_session == 0 {
            true => store.options.patience,
            false if with_wills => PATIENCE_FOR_WILLS,
            false => PATIENCE_WHEN_WRONG,
        };
        drop(books);
        let is_gone = store.process_is_gone();
        if moved.elapsed() > patience || begin.elapsed() > LIMIT || is_gone {
            let unrest = unrest(&store.world.books(), with_wills);
            for wrong in unrest {
                store.world.found("the lab", wrong, String::new());
            }
            break;
        }
    }
    store.mark("settled".to_owned());
    take_stock(store)
}

fn is_at_rest(books: &Books, with_wills: bool) -> bool {
    books.ledger.in_flight() == 0
        && books.unsettled.iter().all(Option::is_none)
        && !books.ledger.is_anything_missing()
        && books.crew.missing(&books.ledger).is_empty()
        && (!with_wills || books.estate.missing().is_empty())
}

/// What keeps the clients from coming to rest, lost messages apart.
fn unrest(books: &Books, with_wills: bool) -> Vec<crate::books::finding::Wrong> {
    let mut wrongs = Vec::new();
    if books.ledger.in_flight() > 0 {
        wrongs.push(Kind::Stuck.says(format!("{} messages are not acknowledged", books.ledger.in_flight())));
    }
    if with_wills {
        let missing = books.estate.missing();
        if !missing.is_empty() {
            let mut wrong = Kind::Will.says(format!("due and not published: {}", missing.join(", ")));
            wrong.count = missing.len() as u64;
            wrongs.push(wrong);
        }
    }
    for (session, waits) in books.unsettled.iter().enumerate() {
        if let Some(waits) = waits {
            wrongs.push(Kind::Stuck.says(format!("session-{session}: {waits}")));
        }
    }
    wrongs
}

/// What was acknowledged and did not come.
fn take_stock(store: &mut Store<'_>) -> Vec<LostMessage> {
    let mut books = store.world.books();
    let missing = books.ledger.missing();
    let of_crew = books.crew.missing(&books.ledger);
    let went = std::mem::take(&mut books.went_with_session);
    let count = missing.len() as u64 + of_crew.len() as u64 + went;
    if count == 0 {
        let Books { ledger, crew, .. } = &mut *books;
        ledger.checkpoint();
        crew.checkpoint(ledger);
        return Vec::new();
    }
    let to_sessions = missing.iter().map(|(session, id, topic)| (format!("session-{session}"), *id, *topic));
    let to_crew = of_crew.iter().map(|(id, topic)| ("the group".to_owned(), *id, *topic));
    let begin = store.world.begin;
    let lost: Vec<LostMessage> = to_sessions
        .chain(to_crew)
        .take(SHOWN)
        .map(|(owed_to, id, topic)| LostMessage {
            message: id.to_string(),
            topic: topics()[topic].clone(),
            owed_to,
            acknowledged_ms: acknowledged_at(&books, id).map(|at| store.world.millis(at - begin)),
        })
        .collect();
    drop(books);
    let mut text = format!("{count} acknowledged messages did not arrive");
    if went > 0 {
        text = format!("{text}, {went} of them with the sessions that were to get them");
    }
    for one in lost.iter().take(10) {
        text = format!("{text}\n  {} on {} for {}", one.message, one.topic, one.owed_to);
    }
    let mut wrong = Kind::Lost.says(text);
    wrong.count = count;
    store.world.found("the lab", wrong, String::new());
    lost
}

fn acknowledged_at(books: &Books, id: MessageId) -> Option<Instant> {
    books.acknowledged_at.iter().find(|(_, one)| *one == id).map(|(at, _)| *at)
}

/// The timeline of a round that failed.
pub(crate) fn timeline(
    world: &World,
    books: &Books,
    begin: Instant,
    marks: &[Mark],
    lost: Vec<LostMessage>,
) -> Timeline {
    let since = |at: Instant| world.millis(at.saturating_duration_since(world.begin));
    Timeline {
        begin_ms: since(begin),
        end_ms: since(Instant::now()),
        acknowledged_ms: books.acknowledged_at.iter().map(|(at, _)| since(*at)).collect(),
        delivered_ms: books.delivered_at.iter().map(|at| since(*at)).collect(),
        marks: marks.to_vec(),
        lost,
    }
}

/// How a wait ended.
enum End {
    Done,
    /// The broker is gone.
    Wrong,
    /// Nothing moved any more.
    Silence,
}

fn wait(store: &mut Store<'_>, is_done: impl Fn(&Books, &World) -> bool) -> End {
    let (mut moved, mut steps) = (Instant::now(), 0);
    loop {
        {
            let books = store.world.books();
            if books.findings.iter().any(|finding| finding.kind == Kind::Down) {
                return End::Wrong;
            }
            if is_done(&books, store.world) {
                return End::Done;
            }
            if books.steps != steps {
                steps = books.steps;
                moved = Instant::now();
            }
        }
        if store.process_is_gone() {
            return End::Wrong;
        }
        if moved.elapsed() > store.options.patience {
            return End::Silence;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
