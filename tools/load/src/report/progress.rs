//! Bars on the terminal.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// The bars of a run.
#[derive(Clone)]
pub(crate) struct Progress {
    bars: MultiProgress,
}

/// One bar; it goes when it is dropped.
pub(crate) struct Bar {
    bars: MultiProgress,
    bar: ProgressBar,
}

impl Progress {
    /// Bars on standard error; none if it is no terminal, or if `quiet`.
    pub(crate) fn new(quiet: bool) -> Progress {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Progress { bars: MultiProgress::with_draw_target(target) }
    }

    /// A bar for so many steps.
    pub(crate) fn bar(&self, what: &str, steps: u64) -> Bar {
        let bar = self.bars.add(ProgressBar::new(steps));
        let style =
            "{prefix:<36} {bar:28} {human_pos:>11}/{human_len} {rate:>11} {elapsed_precise} eta {eta}";
        let style =
            ProgressStyle::with_template(style).expect("the template is a constant that a test tries");
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            // The bar is drawn all the same if this is not.
            let _ = write!(out, "{:.0}/s", state.per_sec());
        }));
        bar.set_prefix(what.to_owned());
        Bar { bars: self.bars.clone(), bar }
    }

    /// Prints a line above the bars.
    pub(crate) fn say(&self, line: &str) {
        self.bars.suspend(|| eprintln!("{line}"));
    }

    /// Does something that prints while the bars are out of the way.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bars.suspend(print)
    }
}

impl Bar {
    /// So many steps are done.
    pub(crate) fn at(&self, steps: u64) {
        self.bar.set_position(steps);
    }

    /// One more step is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.bars.remove(&self.bar);
    }
}

#[test]
fn the_style_of_the_bars_is_one() {
    Progress::new(true).bar("a broker", 3).at(2);
}
