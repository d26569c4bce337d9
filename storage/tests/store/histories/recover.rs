//! Opening after a crash: what has come back, whether it may have come back so, and whether all of it is there.

use barnacle_storage::*;

use super::model::{self, Model};
use super::steps::{CLIENTS, Step};
use super::world::{Interrupted, Judged, Place, World, Wrong, ensure, interruptible, same};

impl World {
    /// Opens the store after a crash or an end, as often as that is itself interrupted, and finds out what has come back.
    pub(super) fn recover(&mut self) -> Judged {
        self.abandon();
        let mut interrupted = false;
        loop {
            let before = self.memory().map(Memory::fork);
            match interruptible(|| Store::open_stepped(self.options(), self.now_millis)) {
                Err(Interrupted) => {
                    interrupted = true;
                    self.coverage.count("crashes while opening");
                    self.add_begun();
                }
                Ok(Err(error)) => {
                    self.coverage.count("openings that failed");
                    self.expect_error(&error.to_string())?;
                    interrupted = true;
                    self.add_begun();
                }
                Ok(Ok((store, stepper, recovery))) => {
                    self.opened(store, stepper);
                    return self.judge(&recovery, before, interrupted);
                }
            }
        }
    }

    /// Opening was interrupted, and may have written its first batch.
    fn add_begun(&mut self) {
        let known: Vec<(u64, Model)> = self
            .possible
            .iter()
            .flat_map(|(commit, models)| models.iter().map(move |model| (*commit, model.clone())))
            .collect();
        for (commit, mut model) in known {
            let (_, batches) = model.settle(self.now_millis);
            // A number that was acknowledged is not used again, even if its batch is lost.
            for (number, begun) in (commit.max(self.commit) + 1..).zip(batches) {
                let known = self.possible.entry(number).or_default();
                if !known.contains(&begun) {
                    known.push(begun);
                }
            }
        }
    }

    fn judge(&mut self, recovery: &Recovery, before: Option<Memory>, interrupted: bool) -> Judged {
        self.coverage.count("recoveries");
        let found = recovery.recovered_commit;
        let (durable, acknowledged) = (self.durable, self.commit);
        ensure(
            || format!("{recovery}: batches up to {durable} were acknowledged as durable"),
            found >= durable,
        )?;
        if !interrupted {
            let lost = (acknowledged > found).then_some((found + 1, acknowledged));
            same("what is reported as lost", recovery.lost, lost)?;
            self.coverage
                .add("batches lost that a weak mode had acknowledged", acknowledged.saturating_sub(found));
            self.coverage.add("batches kept that were not acknowledged", found.saturating_sub(acknowledged));
        }
        let candidates = self.possible.get(&found).cloned().unwrap_or_default();
        let known: Vec<_> = self.possible.keys().collect();
        let mut complaints = vec![format!(
            "batch {found} has come back, {durable} was durable, {acknowledged} acknowledged, {known:?} were possible"
        )];
        for candidate in candidates {
            match self.fits(&candidate, recovery, before.as_ref()) {
                Ok(batches) => {
                    self.take_over(recovery, batches);
                    return self.compare();
                }
                Err(Wrong(complaint)) => complaints.push(complaint),
            }
        }
        Err(Wrong(complaints.join("\nor: ")))
    }

    /// Whether this is what has come back; if so, how it stands after each batch that opening has written.
    fn fits(
        &mut self,
        candidate: &Model,
        recovery: &Recovery,
        before: Option<&Memory>,
    ) -> Judged<Vec<Model>> {
        let mut settled = candidate.clone();
        let interrupted_sessions = candidate.connected();
        let (ended, batches) = settled.settle(self.now_millis);
        let written =
            recovery.commit - recovery.recovered_commit.max(recovery.lost.map_or(0, |(_, last)| last));
        same("the batches of opening", written, batches.len() as u64)?;
        same("the recovered head", recovery.head, settled.head)?;
        same("the recovered sessions", recovery.sessions, settled.sessions.len())?;
        same("the recovered subscriptions", recovery.subscriptions, settled.subscriptions())?;
        same("the interrupted sessions", recovery.interrupted_sessions, interrupted_sessions)?;
        let mut found = model::ended(&recovery.ended);
        found.sort();
        same("the sessions that ended while opening", found, ended)?;
        if let Some(memory) = before {
            self.look_through(memory, candidate, recovery)?;
        }
        Ok(batches)
    }

    fn take_over(&mut self, recovery: &Recovery, batches: Vec<Model>) {
        // What was lost does not come back later.
        self.possible.retain(|number, _| *number <= recovery.recovered_commit);
        self.commit = recovery.commit;
        self.model = batches.last().expect("opening writes at least one").clone();
        let first = recovery.commit + 1 - batches.len() as u64;
        self.possible.extend((first..).zip(batches.into_iter().map(|model| vec![model])));
        if self.settings.durability == Durability::Fsync {
            self.note_synced();
        }
    }

    /// Looks at copies of the disk, from the disk alone: on one, reads everything that is there and goes on with it for a while;
    /// on another, lets everything end.
    fn look_through(&mut self, memory: &Memory, candidate: &Model, recovery: &Recovery) -> Judged {
        let mut copy = self.copy(memory, candidate, recovery)?;
        copy.look_at_everything()?;
        self.coverage.merge(copy.coverage);
        let mut copy = self.copy(memory, candidate, recovery)?;
        copy.look_at_ends()?;
        self.coverage.merge(copy.coverage);
        Ok(())
    }

    fn copy(&self, memory: &Memory, candidate: &Model, recovery: &Recovery) -> Judged<World> {
        let mut copy = World::new(Place::Memory(memory.fork()), self.settings);
        copy.settings.tail_cache_bytes = 0;
        copy.now_millis = self.now_millis;
        let (store, stepper, again) = Store::open_stepped(copy.options(), copy.now_millis)
            .map_err(|error| Wrong(format!("a copy does not open: {error}")))?;
        copy.opened(store, stepper);
        same("the recovery of a copy", (again.head, again.lost), (recovery.head, recovery.lost))?;
        copy.messages = self.messages;
        copy.commit = again.commit;
        copy.durable = again.commit;
        copy.model = candidate.clone();
        copy.model.settle(copy.now_millis);
        copy.compare()?;
        Ok(copy)
    }

    /// Every session comes back, reads all that waits for it and all that it has under way; then something new comes, and
    /// what is consumed is trimmed.
    pub(super) fn look_at_everything(&mut self) -> Judged {
        self.attach_everybody()?;
        self.read_retained()?;
        self.read_everything()?;
        self.publish_everywhere()?;
        self.read_everything()?;
        self.trim()?;
        self.read_everything()
    }

    /// Every session expires and every will is published when it should and not before; those that never do are ended by a Clean Start.
    fn look_at_ends(&mut self) -> Judged {
        while let Some(deadline) = self.model.next_deadline() {
            for now_millis in [deadline - 1, deadline] {
                self.now_millis = now_millis;
                self.take_alone(&Step::PublishDueWills)?;
                self.take_alone(&Step::Expire)?;
            }
            self.coverage.count("deadlines looked at");
        }
        for client in 0..CLIENTS.len() {
            let clean_start = true;
            self.take_alone(&Step::Attach { client, clean_start, session_expiry_interval: 0, will: false })?;
        }
        Ok(())
    }
}
