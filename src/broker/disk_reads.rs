//! What may wait for the disk, where it holds nobody up.

use std::sync::Arc;
use std::thread::available_parallelism;

use barnacle_storage::Store;
use tokio::sync::Semaphore;

/// Reads from the disk, as many at a time as there are processors: a thousand sessions that catch up at once would otherwise
/// be five hundred threads, and who serves live traffic one of them. The others wait for their turn, in order.
#[derive(Debug)]
pub(crate) struct DiskReads {
    turns: Arc<Semaphore>,
}

impl Default for DiskReads {
    fn default() -> Self {
        let processors = available_parallelism().map_or(2, usize::from);
        Self { turns: Arc::new(Semaphore::new(processors.max(2))) }
    }
}

impl DiskReads {
    /// Runs what may wait for the disk. A store in memory has no disk to wait for, and what a simulator drives has no other
    /// thread: there the others have their turn first.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        store: &Store,
        work: impl FnOnce(&Store) -> R + Send + 'static,
    ) -> R {
        if store.is_in_memory() {
            tokio::task::yield_now().await;
            return work(store);
        }
        let turn = self.turns.clone().acquire_owned().await.expect("it is never closed");
        let store = store.clone();
        // Who waits for it may go away, as a connection that is taken over does: the read goes on, and its turn with it.
        let read = move || {
            let _turn = turn;
            work(&store)
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier, mpsc};

    use barnacle_storage::Options;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_read_at_once_than_there_are_processors() {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, _) = Store::open(Options::new(directory.path())).expect("it opens");
        let reads = Arc::new(DiskReads::default());
        let most = reads.turns.available_permits();
        let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        // Each waits inside for as many as may be there.
        let together = Arc::new(Barrier::new(most));
        let read = |_| {
            let (reads, store, together) = (reads.clone(), store.clone(), together.clone());
            let (now, peak) = (now.clone(), peak.clone());
            tokio::spawn(async move {
                let work = move |_: &Store| {
                    peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    together.wait();
                    now.fetch_sub(1, Ordering::SeqCst);
                };
                reads.run(&store, work).await;
            })
        };
        for read in (0..20 * most).map(read).collect::<Vec<_>>() {
            read.await.expect("it reads");
        }
        assert_eq!(peak.load(Ordering::SeqCst), most);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_read_that_nobody_waits_for_any_more_keeps_its_turn() {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, _) = Store::open(Options::new(directory.path())).expect("it opens");
        let reads = Arc::new(DiskReads::default());
        let most = reads.turns.available_permits();
        let (begun, begins) = mpsc::channel();
        let mut ends = Vec::new();
        for _ in 0..most {
            let (end, ended) = mpsc::channel::<()>();
            ends.push(end);
            let (reads, store, begun) = (reads.clone(), store.clone(), begun.clone());
            let reader = tokio::spawn(async move {
                let work = move |_: &Store| {
                    begun.send(()).expect("the test waits");
                    ended.recv().expect_err("it ends when the test lets go");
                };
                reads.run(&store, work).await;
            });
            begins.recv().expect("it begins");
            reader.abort();
            assert!(reader.await.expect_err("nobody waits any more").is_cancelled());
        }
        assert_eq!(reads.turns.available_permits(), 0, "each of them still reads");
        drop(ends);
        reads.run(&store, |_| ()).await;
        let all = reads.turns.acquire_many(u32::try_from(most).expect("few")).await;
        drop(all.expect("every turn comes back"));
    }
}
