//! The machine that figures come from.

use crate::report::record::Record;
use std::fs;

/// Processor, memory, system and load, as a record.
pub(crate) fn record() -> Record {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut record = Record::new("machine", format!("{model}, Linux {}", kernel.trim()), "–");
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    record.add("processors", processors as f64, "");
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|total| total.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    record.add_mib("memory", kib * 1024);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
    record.add("load average before", load, "");
    record
}
