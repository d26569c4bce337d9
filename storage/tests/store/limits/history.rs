//! Random histories under a limit, with crashes: what is published is received or counted, each exactly once, and never
//! more waits than may.

use std::collections::BTreeSet;

use super::*;

const LIMIT: u64 = 12;
const OWN: &str = "own";
const SHARED: &str = "shared";

struct History {
    disk: Memory,
    fixture: Option<Fixture>,
    policy: Policy,
    random: u64,
    client: Option<Client>,
    position: Lsn,
    next: u64,
    published: [u64; 2],
    received: [BTreeSet<u64>; 2],
}

fn configure(options: &mut Options, policy: Policy, disk: &Memory) {
    options.limits = session_limits(LIMIT, policy);
    options.memory = Some(disk.clone());
}

impl History {
    fn new(policy: Policy, seed: u64) -> History {
        let disk = Memory::new();
        disk.compact_eagerly();
        let fixture = fixture_with(|options| configure(options, policy, &disk));
        let (client, other) = (fixture.attach("a"), fixture.attach("other"));
        fixture.subscribe(&client, OWN, 1);
        for client in [&client, &other] {
            fixture.subscribe(client, SHARED, 1);
        }
        leave(&fixture, &other);
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        History {
            disk,
            fixture: Some(fixture),
            policy,
            random,
            client: Some(client),
            position: Lsn(0),
            next: 0,
            published: [0; 2],
            received: Default::default(),
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % end
    }

    fn fixture(&self) -> &Fixture {
        self.fixture.as_ref().expect("it is open")
    }

    fn step(&mut self) {
        match self.below(12) {
            0..=5 => self.publish(),
            6..=7 => self.read(),
            8 => self.save(),
            9 => self.come_or_go(),
            10 => {
                self.fixture().store.trim();
                self.fixture().commit(vec![Operation::TakePosition]);
            }
            _ => self.crash(),
        }
        if self.policy == Policy::DropNewest {
            let waiting = backlog(self.fixture(), "a").at_most().messages;
            let taken = self.position_taken();
            assert!(waiting <= LIMIT + taken, "{waiting} wait, {taken} of them taken");
        }
    }

    /// Messages that were taken and are not saved: they do not wait, but the saved position does not tell.
    fn position_taken(&self) -> u64 {
        self.received.iter().map(|received| received.len() as u64).sum()
    }

    fn publish(&mut self) {
        let (topic, kind) = if self.below(2) == 0 { (OWN, 0) } else { (SHARED, 1) };
        let operations: Vec<Operation> = (0..1 + self.below(6))
            .map(|_| {
                self.next += 1;
                self.published[kind] += 1;
                publish(&self.fixture().store, topic, &format!("{kind} {}", self.next))
            })
            .collect();
        self.fixture().commit(operations);
    }

    fn note(&mut self, entry: &Entry) {
        let text = text(&entry.message);
        let (kind, number) = text.split_once(' ').expect("as it was published");
        let kind: usize = kind.parse().expect("0 or 1");
        self.received[kind].insert(number.parse().expect("a number"));
    }

    fn read(&mut self) {
        let Some(client) = self.client.clone() else { return };
        self.pass_over(&client);
        let budget = Budget { messages: 1 + self.below(8) as usize, bytes: usize::MAX };
        let pass = self.fixture().store.read(&client.reader, self.position, budget).expect("whole");
        pass.entries.iter().for_each(|entry| self.note(entry));
        self.position = pass.through;
        client.reader.set_taken(pass.through);
    }

    /// As a connection does that is told to.
    fn pass_over(&mut self, client: &Client) {
        if !client.reader.take_over_limit() {
            return;
        }
        let excess = self.fixture().store.excess(&client.reader, self.position).expect("whole");
        let Some(excess) = excess else { return };
        self.position = excess.through;
        client.reader.set_taken(excess.through);
        let Backlog { own, shared_at_most } = excess.dropped;
        let dropped = Dropped { exactly: own.messages, shared_at_most: shared_at_most.messages };
        let outbound = Outbound { position: excess.through, ..Outbound::default() };
        let count = Operation::CountDrops { reason: excess.reason, dropped };
        self.fixture().commit_as(client, vec![Operation::SaveOutbound(outbound), count]);
    }

    fn save(&mut self) {
        if let Some(client) = &self.client {
            save_position(self.fixture(), client, self.position);
        }
    }

    fn come_or_go(&mut self) {
        match self.client.take() {
            Some(client) => {
                save_position(self.fixture(), &client, self.position);
                leave(self.fixture(), &client);
            }
            None => self.attach(),
        }
    }

    /// Whatever may have been sent is taken back first, and never dropped.
    fn attach(&mut self) {
        let attached = self.fixture().attached(Attach { session_expiry_interval: u32::MAX, ..attach("a") });
        let session = attached.session.expect("it is stored");
        let client = Client { id: session.id, epoch: session.epoch, reader: session.reader };
        self.position = session.outbound.position;
        if let Some(through) = session.sent_unsaved_through {
            loop {
                let one = Budget { messages: 1, bytes: usize::MAX };
                let pass = self.fixture().store.read(&client.reader, self.position, one).expect("whole");
                let Some(entry) = pass.entries.first().filter(|entry| entry.lsn <= through) else { break };
                self.note(entry);
                self.position = entry.lsn;
            }
            client.reader.set_taken(self.position);
            save_position(self.fixture(), &client, self.position);
        }
        self.client = Some(client);
    }

    fn crash(&mut self) {
        self.client = None;
        let fixture = self.fixture.take().expect("it is open");
        self.fixture = Some(fixture.reopen_with(|options| configure(options, self.policy, &self.disk)));
    }

    fn end(mut self) {
        if self.client.is_none() {
            self.attach();
        }
        let client = self.client.clone().expect("just attached");
        client.reader.look_again();
        self.pass_over(&client);
        let head = self.fixture().store.head();
        while self.position < head {
            self.read();
        }
        self.save();
        let drops = dropped(self.fixture(), "a", DropReason::SessionLimit);
        let received = [self.received[0].len() as u64, self.received[1].len() as u64];
        assert_eq!(received[0] + drops.exactly, self.published[0], "the own log");
        assert_eq!(received[1] + drops.shared_at_most, self.published[1], "the shared log");
        self.crash();
        let again = self.fixture.take().expect("it is open");
        assert_eq!(dropped(&again, "a", DropReason::SessionLimit), drops);
        assert_eq!(backlog(&again, "a").at_most().messages, 0);
    }
}

#[test]
fn what_is_published_is_received_or_counted() {
    for seed in 0..100 {
        for policy in [Policy::DropNewest, Policy::DropOldest] {
            let mut history = History::new(policy, seed);
            eprintln!("seed {seed}, {policy:?}");
            (0..60).for_each(|_| history.step());
            history.end();
        }
    }
}
