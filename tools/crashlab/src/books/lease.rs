//! A session for a time: what must be there of it while its client stays away, and that nothing is left of it afterwards.
//! Knows no socket and no clock: times are told, since the store began.
//!
//! The client never knows the moment from which the broker counts. It knows one before and, mostly, one behind it, and the
//! same of the moment of its return. Where these and a margin leave it open whether the session had expired, either is right.

use crate::books::finding::{Kind, Wrong};
use std::collections::BTreeSet;
use std::time::Duration;

/// What the broker's clock may be wrong by, across a restart too.
const MARGIN: Duration = Duration::from_millis(300);

/// A session that expires.
#[derive(Debug)]
pub(crate) struct Lease {
    expires_after: Duration,
    state: State,
    /// A SUBACK was read, and the session was never away since as far as anybody knows.
    subscribed: bool,
    /// Acknowledged, and to come if the session lives.
    owed: BTreeSet<u64>,
    /// May come.
    possible: BTreeSet<u64>,
    /// Sent and not acknowledged: the broker may get it whenever the network lets go of it.
    under_way: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody has made it.
    Absent,
    /// It has a connection.
    Connected,
    /// Its connection ended: not before the one, and not behind the other, if that is known.
    Left { earliest: Duration, latest: Option<Duration> },
    /// Nobody can tell: a CONNECT was sent and not answered.
    InDoubt,
}

/// What a CONNACK has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It was there when it had to be.
    Kept,
    /// It was gone when it had to be.
    Expired,
    /// Either was right.
    Nothing,
}

impl Lease {
    /// A session that nobody has made, and that will expire so long after its connection.
    pub(crate) fn new(expires_after: Duration) -> Lease {
        Lease {
            expires_after,
            state: State::Absent,
            subscribed: false,
            owed: BTreeSet::new(),
            possible: BTreeSet::new(),
            under_way: BTreeSet::new(),
        }
    }

    /// CONNECT was sent and CONNACK read. Errs if Session Present is not what it must be.
    pub(crate) fn connected(
        &mut self,
        present: bool,
        sent: Duration,
        answered: Duration,
    ) -> Result<Shown, Wrong> {
        let before = std::mem::replace(&mut self.state, State::Connected);
        let interval = self.expires_after.as_secs();
        if before == State::InDoubt {
            // It may be another one, to which nobody has subscribed.
            self.doubt();
        }
        if !present {
            self.owed.clear();
            self.possible.clone_from(&self.under_way);
            self.subscribed = false;
        }
        match (before, present) {
            (State::Absent, true) => {
                Err(Kind::SessionFalse.says("Session Present is 1, and nobody has made it"))
            }
            (State::Connected, false) => {
                Err(Kind::SessionLost.says("Session Present is 0 for a connected session"))
            }
            (State::Left { earliest, .. }, false) if self.lives(earliest, answered) => {
                let away = answered.saturating_sub(earliest);
                let text =
                    format!("Session Present is 0 after {away:?} at most, with an expiry of {interval} s");
                Err(Kind::SessionLost.says(text))
            }
            (State::Left { latest: Some(latest), .. }, true) if self.is_over(latest, sent) => {
                let away = sent.saturating_sub(latest);
                let text =
                    format!("Session Present is 1 after {away:?} at least, with an expiry of {interval} s");
                Err(Kind::SessionFalse.says(text))
            }
            (State::Left { earliest, .. }, true) if self.lives(earliest, answered) => Ok(Shown::Kept),
            (State::Left { latest: Some(latest), .. }, false) if self.is_over(latest, sent) => {
                Ok(Shown::Expired)
            }
            _ => Ok(Shown::Nothing),
        }
    }

    /// A CONNECT was sent, and at `ended` it was known that no answer would come.
    pub(crate) fn unanswered(&mut self, ended: Duration) {
        self.state = match self.state {
            // If the broker took it, the session goes on from there.
            State::Left { earliest, .. } if self.lives(earliest, ended) => {
                State::Left { earliest, latest: None }
            }
            _ => State::InDoubt,
        };
        if self.state == State::InDoubt {
            self.doubt();
        }
    }

    /// SUBACK was read.
    pub(crate) fn subscribed(&mut self) {
        self.subscribed = true;
    }

    /// Whether it has to subscribe.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.subscribed
    }

    /// The connection ended, not before `earliest`, and for the broker not behind `latest`, if that is known.
    pub(crate) fn left(&mut self, earliest: Duration, latest: Option<Duration>) {
        self.state = State::Left { earliest, latest };
    }

    /// A message for it is being sent.
    pub(crate) fn sending(&mut self, message: u64) {
        self.possible.insert(message);
        self.under_way.insert(message);
    }

    /// It was acknowledged, and that was read at `now`: if the session certainly lived then, it is owed.
    pub(crate) fn acknowledged(&mut self, message: u64, now: Duration) {
        self.under_way.remove(&message);
        let lives = match self.state {
            State::Connected => true,
            State::Left { earliest, .. } => self.lives(earliest, now),
            State::Absent | State::InDoubt => false,
        };
        if self.subscribed && lives {
            self.owed.insert(message);
        }
    }

    /// A message came. Errs if it should not have.
    pub(crate) fn delivered(&mut self, message: u64) -> Result<(), Wrong> {
        self.owed.remove(&message);
        match self.possible.contains(&message) {
            true => Ok(()),
            false => Err(Kind::Phantom.says(format!("{message} is not of this session's life"))),
        }
    }

    /// What is owed and has not come.
    pub(crate) fn missing(&self) -> impl Iterator<Item = u64> {
        self.owed.iter().copied()
    }

    /// What is owed is owed no more: it was found missing.
    pub(crate) fn forgive(&mut self) {
        self.owed.clear();
    }

    /// How long from now on it certainly lives, and from when on it is certainly over; of a session that was left.
    pub(crate) fn deadlines(&self) -> Option<(Duration, Duration)> {
        match self.state {
            State::Left { earliest, latest: Some(latest) } => Some((
                (earliest + self.expires_after).saturating_sub(MARGIN),
                latest + self.expires_after + MARGIN,
            )),
            _ => None,
        }
    }

    fn doubt(&mut self) {
        self.owed.clear();
        self.subscribed = false;
    }

    fn lives(&self, earliest: Duration, now: Duration) -> bool {
        now + MARGIN < earliest + self.expires_after
    }

    fn is_over(&self, latest: Duration, now: Duration) -> bool {
        now > latest + self.expires_after + MARGIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A session with an expiry of a second, that was left at 100 or 110, with one message owed to it.
    fn left() -> Lease {
        let mut lease = Lease::new(at(1_000));
        assert_eq!(lease.connected(false, at(0), at(1)), Ok(Shown::Nothing));
        lease.subscribed();
        lease.left(at(100), Some(at(110)));
        lease.sending(1);
        lease.acknowledged(1, at(200));
        lease
    }

    #[test]
    fn a_session_is_there_before_its_expiry_and_gone_behind_it() {
        assert_eq!(left().connected(true, at(500), at(700)), Ok(Shown::Kept));
        assert_eq!(left().connected(false, at(1_500), at(1_600)), Ok(Shown::Expired));
        for present in [true, false] {
            assert_eq!(
                left().connected(present, at(1_090), at(1_110)),
                Ok(Shown::Nothing),
                "at its deadline"
            );
            assert_eq!(left().connected(present, at(500), at(1_600)), Ok(Shown::Nothing), "answered late");
        }
        assert_eq!(
            Lease::new(at(1_000)).connected(true, at(0), at(1)).map_err(|wrong| wrong.kind),
            Err(Kind::SessionFalse)
        );
    }

    #[test]
    fn planted_faults_of_expiry_are_found() {
        let kind = |result: Result<Shown, Wrong>| result.map_err(|wrong| wrong.kind);
        assert_eq!(kind(left().connected(false, at(500), at(700))), Err(Kind::SessionLost), "too soon");
        assert_eq!(kind(left().connected(true, at(1_500), at(1_600))), Err(Kind::SessionFalse), "too late");
        let mut lease = left();
        lease.connected(true, at(500), at(700)).expect("it lives");
        assert_eq!(lease.missing().collect::<Vec<_>>(), [1]);
        lease.delivered(1).expect("it is owed");
        lease.delivered(1).expect("again, at QoS 1");
        assert_eq!(lease.missing().count(), 0);
        let mut lease = left();
        lease.connected(false, at(1_500), at(1_600)).expect("it has expired");
        assert_eq!(lease.delivered(1).map_err(|wrong| wrong.kind), Err(Kind::Phantom), "of the life before");
        assert!(!lease.is_subscribed());
    }

    #[test]
    fn what_nobody_can_tell_is_right_either_way() {
        for present in [true, false] {
            let mut lease = left();
            lease.unanswered(at(1_000));
            assert_eq!(lease.connected(present, at(5_000), at(5_001)), Ok(Shown::Nothing));
            assert_eq!(lease.missing().count(), 0, "it may be another session");
            let mut lease = left();
            lease.left(at(100), None);
            assert_eq!(lease.connected(present, at(5_000), at(5_001)), Ok(Shown::Nothing));
        }
        // The session was surely there when the CONNECT was lost: it still is, if only for longer.
        let mut lease = left();
        lease.unanswered(at(300));
        assert_eq!(lease.missing().count(), 1);
        assert!(lease.connected(false, at(400), at(500)).is_err());
    }
}
