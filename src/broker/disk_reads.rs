//! What may wait for the disk, where it holds nobody up.

use std::thread::available_parallelism;

use barnacle_storage::Store;
use tokio::sync::Semaphore;

/// Reads from the disk, as many at a time as there are processors: a thousand sessions that catch up at once would otherwise
/// be five hundred threads, and who serves live traffic one of them. The others wait for their turn, in order.
#[derive(Debug)]
pub(crate) struct DiskReads {
    turns: Semaphore,
}

impl Default for DiskReads {
    fn default() -> Self {
        let processors = available_parallelism().map_or(2, usize::from);
        Self { turns: Semaphore::new(processors.max(2)) }
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
        let _turn = self.turns.acquire().await.expect("it is never closed");
        let store = store.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};

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
}
