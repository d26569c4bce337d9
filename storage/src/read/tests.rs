//! Damage with a part behind it that the disk does not give.

use super::*;

/// Rows of a log with the LSNs 1 to 4: the second is damaged, and behind it a seek gives nothing for a while.
struct Disk {
    at: Option<[u8; 24]>,
    gives: bool,
    status: Result<(), EngineError>,
}

impl Disk {
    fn open(gives: bool) -> Box<dyn engine::Cursor> {
        Box::new(Disk { at: None, gives, status: Ok(()) })
    }
}

fn key(lsn: u64) -> [u8; 24] {
    keys::block(LogId(1), Lsn(lsn), 0)
}

fn error(kind: FailureKind) -> EngineError {
    EngineError { kind, reason: format!("{kind:?}") }
}

impl engine::Cursor for Disk {
    fn seek_to_first(&mut self) {}

    fn seek_to_last(&mut self) {}

    fn seek(&mut self, wanted: &[u8]) {
        self.at = (1..=4).map(key).find(|key| wanted <= key.as_slice());
        self.status = match self.at {
            Some(at) if at == key(2) => Err(error(FailureKind::Corruption)),
            Some(at) if at > key(2) && !self.gives => Err(error(FailureKind::Io)),
            _ => Ok(()),
        };
        self.at = self.at.filter(|_| self.status.is_ok());
    }

    fn next(&mut self) {}

    fn item(&self) -> Option<(&[u8], &[u8])> {
        self.at.as_ref().map(|at| (at.as_slice(), [].as_slice()))
    }

    fn status(&self) -> Result<(), EngineError> {
        self.status.clone()
    }
}

#[test]
fn how_far_damage_goes_is_not_told_while_what_is_behind_cannot_be_read() {
    let damage = error(FailureKind::Corruption);
    let pass_over = |gives| {
        let reached = key(1).to_vec();
        let mut rows = Rows { cursor: Disk::open(gives), fresh: false, reached, exhausted: false };
        rows.pass_over(&damage, || Disk::open(gives))
    };
    assert_eq!(pass_over(false), Err(error(FailureKind::Io)));
    assert_eq!(pass_over(true), Ok(Some(Lsn(3))));
}
