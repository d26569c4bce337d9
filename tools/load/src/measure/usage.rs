//! What a process and those that it started use, by their entries in /proc.

use std::fs;

/// The processes of a group, as they were when they were looked for.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    processes: Vec<String>,
}

impl Usage {
    /// This process.
    pub(crate) fn of_this() -> Usage {
        Usage { processes: vec!["self".to_owned()] }
    }

    /// The process with this identifier and all of its group: a broker may be started by a script.
    pub(crate) fn of_group(process_id: u32) -> Usage {
        let group = process_id.to_string();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let is_member = |name: &String| {
            *name == group || stat(name).is_some_and(|fields| fields.get(2).is_some_and(|of| *of == group))
        };
        let digits = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
        Usage { processes: names.filter(digits).filter(is_member).collect() }
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.sum("status", "VmRSS:") * 1024
    }

    /// Bytes that were written to disks.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.sum("io", "write_bytes:")
    }

    /// Processor seconds, user and system.
    pub(crate) fn processor_seconds(&self) -> f64 {
        // Behind the program's name: the fields from the third on, of which utime and stime are the 14th and the 15th.
        let ticks = |name: &String| -> f64 {
            let fields = stat(name).unwrap_or_default();
            fields.iter().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum()
        };
        // USER_HZ is 100 on every Linux that Rust runs on.
        self.processes.iter().map(ticks).sum::<f64>() / 100.0
    }

    fn sum(&self, file: &str, key: &str) -> u64 {
        let value = |name: &String| {
            let text = fs::read_to_string(format!("/proc/{name}/{file}")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(key))?.trim().to_owned();
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        self.processes.iter().filter_map(value).sum()
    }
}

/// The fields of a process behind its name, from the state on; its name is in parentheses and may hold blanks.
fn stat(process: &str) -> Option<Vec<String>> {
    let line = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = line.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::Usage;

    #[test]
    fn this_process_uses_memory_and_time_and_is_in_its_group() {
        let this = Usage::of_this();
        assert!(this.resident_bytes() > 100_000);
        let mut value = 1_u64;
        while this.processor_seconds() < 0.02 {
            value = std::hint::black_box(value.wrapping_mul(31));
        }
        let group = rustix::process::getpgrp().as_raw_nonzero().get().unsigned_abs();
        assert!(Usage::of_group(group).processes.contains(&std::process::id().to_string()));
    }
}
