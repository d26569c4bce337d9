//! A store on a disk in memory, stepped by hand.

use std::sync::mpsc::{self, Receiver};

use barnacle_storage::*;

use crate::support::*;

pub(crate) type Answered = Receiver<Result<Outcome, CommitError>>;

pub(crate) struct Stepped {
    pub(crate) memory: Memory,
    pub(crate) store: Store,
    pub(crate) stepper: Stepper,
}

impl Stepped {
    pub(crate) fn open(memory: &Memory) -> Stepped {
        Stepped::open_with(Options::in_memory(memory))
    }

    pub(crate) fn open_with(options: Options) -> Stepped {
        let memory = options.memory.clone().expect("a disk in memory");
        let (store, stepper, _) = Store::open_stepped(options, NOW).expect("the disk is whole");
        Stepped { memory, store, stepper }
    }

    pub(crate) fn submit(&self, transaction: Transaction) -> Answered {
        submit(&self.store, transaction)
    }

    /// Commits, and gives what became of it: within one turn.
    pub(crate) fn outcome(
        &mut self,
        fence: Option<&Client>,
        operations: Vec<Operation>,
    ) -> Result<Outcome, CommitError> {
        let fence = fence.map(|client| (client.id, client.epoch));
        let answered = self.submit(Transaction { source: None, fence, operations });
        assert!(self.stepper.commit());
        answered.try_recv().expect("it is answered in its turn")
    }

    #[track_caller]
    pub(crate) fn commit(&mut self, fence: Option<&Client>, operations: Vec<Operation>) -> Committed {
        match self.outcome(fence, operations) {
            Ok(Outcome::Committed(committed)) => committed,
            other => panic!("{other:?} instead of Committed"),
        }
    }

    pub(crate) fn attached(&mut self, attach: Attach) -> Attached {
        match self.commit(None, vec![Operation::Attach(attach)]).answers.pop() {
            Some(Answer::Attached(attached)) => *attached,
            other => panic!("{other:?} instead of Attached"),
        }
    }

    /// Attaches with an expiry of an hour.
    pub(crate) fn attach(&mut self, client_id: &str) -> Client {
        self.attached(attach(client_id)).into()
    }

    pub(crate) fn subscribe(&mut self, client: &Client, filter: &str) {
        self.commit(Some(client), vec![Operation::Subscribe(vec![subscription(filter, 1)])]);
    }

    pub(crate) fn detach(&mut self, client: &Client, will: WillFate) -> Committed {
        let detach = Detach { session_expiry_interval: HOUR, will, now_millis: NOW };
        self.commit(Some(client), vec![Operation::Detach(detach)])
    }

    pub(crate) fn read(&self, client: &Client) -> Vec<String> {
        let pass = self.store.read(&client.reader, Lsn(0), ALL).expect("the logs are whole");
        assert_eq!(pass.damaged, []);
        payloads(&pass)
    }
}

pub(crate) fn submit(store: &Store, transaction: Transaction) -> Answered {
    let (answer, answered) = mpsc::channel();
    store.submit(transaction, move |outcome| drop(answer.send(outcome)));
    answered
}
