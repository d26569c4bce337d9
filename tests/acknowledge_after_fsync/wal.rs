//! RocksDB's write-ahead log as it was written: which bytes became one record, and when the last of them was handed
//! to the operating system.
//!
//! A log file is made of blocks of 32 KiB. A record lies in one block, or is split into fragments, each with a header
//! of seven bytes: checksum, length, kind. What is looked for may have a header in its middle, so fragments are put
//! together first.

use std::collections::BTreeMap;

use super::trace::{Action, Call};

const BLOCK_LENGTH: usize = 32 * 1024;
const HEADER_LENGTH: usize = 7;

/// Sequence number and count, before the rows of a record.
const BATCH_HEADER_LENGTH: usize = 12;

/// One batch, as it stands in the log.
#[derive(Debug)]
pub(super) struct Record<'a> {
    /// The log file.
    pub(super) file: &'a str,
    /// The line on which the write of its first byte begins.
    pub(super) begin: usize,
    /// The line on which the write of its last byte ends.
    pub(super) end: usize,
    pub(super) bytes: Vec<u8>,
}

/// A row that a batch sets, or removes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) key: &'a [u8],
    /// `None` for one that is removed.
    pub(super) value: Option<&'a [u8]>,
}

/// Whether this is a file of the write-ahead log.
pub(super) fn is_log(file: &str) -> bool {
    file.contains("/rocksdb/") && file.ends_with(".log")
}

/// The records of all log files, file by file in the order written.
pub(super) fn records(calls: &[Call]) -> Vec<Record<'_>> {
    let mut files: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in calls.iter().filter(|call| is_log(&call.file) && call.succeeded) {
        assert!(call.action != Action::WriteAt, "{} is not appended to: this test cannot read it", call.file);
        if call.action == Action::Write {
            files.entry(&call.file).or_default().push(call);
        }
    }
    files.into_iter().flat_map(|(file, writes)| records_of_file(file, &writes)).collect()
}

fn records_of_file<'a>(file: &'a str, writes: &[&Call]) -> Vec<Record<'a>> {
    let bytes: Vec<u8> = writes.iter().flat_map(|write| write.bytes.iter().copied()).collect();
    let mut length = 0;
    let ends: Vec<usize> = writes
        .iter()
        .map(|write| {
            length += write.bytes.len();
            length
        })
        .collect();
    let write_at = |offset: usize| writes[ends.partition_point(|end| *end <= offset)];

    let mut records = Vec::new();
    let mut at = 0;
    let mut record: Option<(usize, Vec<u8>)> = None;
    while let Some((kind, data)) = fragment(&bytes, &mut at) {
        let begin = at - data.len() - HEADER_LENGTH;
        match kind {
            Fragment::Full | Fragment::First => record = Some((begin, data.to_vec())),
            Fragment::Middle | Fragment::Last => {
                record.as_mut().expect("a first fragment comes first").1.extend_from_slice(data);
            }
        }
        if matches!(kind, Fragment::Full | Fragment::Last) {
            let (begin, bytes) = record.take().expect("it was begun above or before");
            let (begin, end) = (write_at(begin).begin, write_at(at - 1).end);
            records.push(Record { file, begin, end, bytes });
        }
    }
    records
}

#[derive(Clone, Copy)]
enum Fragment {
    Full,
    First,
    Middle,
    Last,
}

/// The fragment at `at`, which moves behind it; `None` at the end, or before one that is not whole.
fn fragment<'a>(bytes: &'a [u8], at: &mut usize) -> Option<(Fragment, &'a [u8])> {
    let left = BLOCK_LENGTH - *at % BLOCK_LENGTH;
    if left < HEADER_LENGTH {
        *at += left;
    }
    let [_, _, _, _, low, high, kind] = *bytes.get(*at..)?.first_chunk::<HEADER_LENGTH>()?;
    let begin = *at + HEADER_LENGTH;
    let data = bytes.get(begin..begin + usize::from(u16::from_le_bytes([low, high])))?;
    let kind = match kind {
        1 => Fragment::Full,
        2 => Fragment::First,
        3 => Fragment::Middle,
        4 => Fragment::Last,
        other => panic!("a fragment of kind {other}: this test does not know the log's format any more"),
    };
    *at = begin + data.len();
    Some((kind, data))
}

impl Record<'_> {
    /// What the batch sets and removes, of all families.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let mut rest = self.bytes.get(BATCH_HEADER_LENGTH..).unwrap_or_default();
        let mut rows = Vec::new();
        while let Some((kind, behind)) = rest.split_first() {
            rest = behind;
            if matches!(kind, 4 | 5 | 14) {
                let _family = varint(&mut rest);
            }
            let key = slice(&mut rest);
            match kind {
                0 | 4 => rows.push(Row { key, value: None }),
                1 | 5 => rows.push(Row { key, value: Some(slice(&mut rest)) }),
                // A range that is removed, and its end.
                14 | 15 => drop(slice(&mut rest)),
                // A note.
                3 => {}
                other => panic!("a row of kind {other}: this test does not know the batch's format any more"),
            }
        }
        rows
    }
}

fn slice<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let length = varint(rest);
    let (taken, behind) = rest.split_at_checked(length).expect("a batch holds whole rows");
    *rest = behind;
    taken
}

fn varint(rest: &mut &[u8]) -> usize {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, behind) = rest.split_first().expect("a batch holds whole rows");
        *rest = behind;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}
