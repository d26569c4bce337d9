//! On RocksDB: fewer histories, crashed by dropping the store.

use super::coverage::Coverage;
use super::history::History;
use super::world::Wrong;

const HISTORIES: u64 = 10;
const FROM: u64 = 2_000_000;

#[test]
fn histories_on_rocksdb() {
    let mut coverage = Coverage::default();
    for seed in FROM..FROM + HISTORIES {
        let history = History { seed, length: 80, length_after: 80, crashes: true };
        match history.in_directory() {
            Ok(told) => coverage.merge(told.coverage),
            Err(Wrong(complaint)) => panic!("seed {seed}:\n{complaint}"),
        }
    }
    coverage.require(
        "on RocksDB",
        &["recoveries", "crashes between steps", "messages read", "passes from the disk"],
    );
}
