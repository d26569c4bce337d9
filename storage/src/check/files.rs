//! The files beside the table files: the write-ahead log, and the commit mark.

use std::path::Path;

use super::report::{CheckReport, Finding, FindingKind};
use crate::engine::rocks::FOLDER;
use crate::files::wal;
use crate::mark::{self, Mark};

/// `commit` is the number of the last batch that the database has.
pub(super) fn check(directory: &Path, commit: u64, report: &mut CheckReport) {
    match wal::survey(&directory.join(FOLDER)) {
        Ok(files) => {
            for file in &files {
                check_wal(file, report);
            }
        }
        Err(error) => {
            report.add(Finding::at(FindingKind::WriteAheadLog, "write-ahead log", error.to_string()));
        }
    }
    check_mark(directory, commit, report);
}

fn check_wal(file: &wal::WalFile, report: &mut CheckReport) {
    let name = file.path.display().to_string();
    for gap in &file.gaps {
        let ((first, last), (first_lsn, last_lsn)) = (gap.commits(), gap.lsns());
        let what = format!(
            "bytes {} to {} cannot be read, and whole batches stand behind them: batches {first} to {last}, \
             LSN {first_lsn} to {last_lsn} are in doubt",
            gap.offset,
            gap.offset + gap.length
        );
        report.add(Finding::at(FindingKind::WriteAheadLog, name.as_str(), what));
    }
    if file.torn > 0 {
        let what = format!("the last {} bytes are no whole batch, as a kill leaves them", file.torn);
        report.add(Finding::at(FindingKind::Note, name, what));
    }
}

fn check_mark(directory: &Path, commit: u64, report: &mut CheckReport) {
    let place = mark::FILE_NAME;
    match Mark::read(directory) {
        Ok(Mark::At(marked)) if marked > commit => {
            let what = format!(
                "batches {} to {marked} had been acknowledged, and the last that can be read is {commit}",
                commit + 1
            );
            report.add(Finding::at(FindingKind::Lost, place, what));
        }
        Ok(Mark::At(_)) => {}
        Ok(Mark::Missing) => {
            let what = "is missing: whether the end of the write-ahead log is lost cannot be told";
            report.add(Finding::at(FindingKind::Note, place, what));
        }
        Ok(Mark::Unreadable) => {
            let what = "cannot be read: whether the end of the write-ahead log is lost cannot be told";
            report.add(Finding::at(FindingKind::Damaged, place, what));
        }
        Err(error) => report.add(Finding::at(FindingKind::Damaged, place, error.to_string())),
    }
}
