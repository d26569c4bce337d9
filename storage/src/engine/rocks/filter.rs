//! The compaction filter: leaves out what the floors call dead, while RocksDB rewrites files anyway.

use std::ffi::CStr;

use rocksdb::CompactionDecision;
use rocksdb::compaction_filter::CompactionFilter;
use rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};

use crate::floors::Floors;

impl CompactionFilterFactory for Floors {
    type Filter = Filter;

    fn create(&mut self, _: CompactionFilterContext) -> Filter {
        Filter(self.clone())
    }

    fn name(&self) -> &CStr {
        c"barnacle.floors"
    }
}

/// Goes by the key alone: values stay where they are.
pub(crate) struct Filter(Floors);

impl CompactionFilter for Filter {
    fn filter(&mut self, _level: u32, key: &[u8], _value: &[u8]) -> CompactionDecision {
        if self.0.drops(key) { CompactionDecision::Remove } else { CompactionDecision::Keep }
    }

    fn name(&self) -> &CStr {
        c"barnacle.floors"
    }
}
