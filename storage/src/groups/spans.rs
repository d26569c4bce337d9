//! Spans of LSNs: the parts of a group's log that nobody has taken.

use bincode::{Decode, Encode};

use crate::Lsn;

/// LSNs above `after`, up to and with `through`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Span {
    /// The last LSN before it.
    pub after: Lsn,
    /// The last LSN of it.
    pub through: Lsn,
}

/// No LSN is greater: a span up to here has no end yet.
pub(crate) const OPEN_END: Lsn = Lsn(u64::MAX);

/// Spans in order, none of which overlaps or touches another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans(Vec<Span>);

impl Span {
    pub(crate) fn new(after: Lsn, through: Lsn) -> Span {
        Span { after, through }
    }

    /// One LSN.
    pub(crate) fn of(lsn: Lsn) -> Span {
        Span { after: Lsn(lsn.0.saturating_sub(1)), through: lsn }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.after >= self.through
    }
}

impl Spans {
    /// Everything above an LSN.
    pub(crate) fn above(after: Lsn) -> Spans {
        Spans(vec![Span::new(after, OPEN_END)])
    }

    /// From a record; `None` when they are out of order.
    pub(crate) fn from_record(spans: Vec<Span>) -> Option<Spans> {
        let valid = spans.iter().all(|span| !span.is_empty())
            && spans.windows(2).all(|pair| pair[0].through < pair[1].after);
        valid.then_some(Spans(spans))
    }

    pub(crate) fn as_slice(&self) -> &[Span] {
        &self.0
    }

    /// Nothing at or below is part of it.
    pub(crate) fn floor(&self) -> Lsn {
        self.0.first().map_or(OPEN_END, |span| span.after)
    }

    pub(crate) fn add(&mut self, mut span: Span) {
        if span.is_empty() {
            return;
        }
        let from = self.0.partition_point(|known| known.through < span.after);
        let to = from + self.0[from..].partition_point(|known| known.after <= span.through);
        if from < to {
            span.after = span.after.min(self.0[from].after);
            span.through = span.through.max(self.0[to - 1].through);
        }
        self.0.splice(from..to, [span]);
    }

    pub(crate) fn remove(&mut self, span: Span) {
        if span.is_empty() {
            return;
        }
        let from = self.0.partition_point(|known| known.through <= span.after);
        let to = from + self.0[from..].partition_point(|known| known.after < span.through);
        let rest: smallvec::SmallVec<[Span; 2]> = self.0[from..to]
            .iter()
            .flat_map(|known| {
                [
                    Span::new(known.after, span.after.min(known.through)),
                    Span::new(span.through.max(known.after), known.through),
                ]
            })
            .filter(|rest| !rest.is_empty())
            .collect();
        self.0.splice(from..to, rest);
    }

    /// Those parts of a span that are in these.
    pub(crate) fn within(&self, span: Span) -> impl Iterator<Item = Span> {
        let from = self.0.partition_point(|known| known.through <= span.after);
        let those = self.0[from..].iter().take_while(move |known| known.after < span.through);
        those.map(move |known| Span::new(known.after.max(span.after), known.through.min(span.through)))
    }

    /// Takes out the first span, as far as it goes up to `through`.
    pub(crate) fn take_first(&mut self, through: Lsn) -> Option<Span> {
        let first = self.0.first().copied().filter(|first| first.after < through)?;
        let taken = Span::new(first.after, first.through.min(through));
        self.remove(taken);
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn span(after: u64, through: u64) -> Span {
        Span::new(Lsn(after), Lsn(through))
    }

    #[test]
    fn spans_are_taken_from_the_front_up_to_a_bound() {
        let mut spans = Spans::above(Lsn(10));
        spans.add(span(3, 5));
        assert_eq!(spans.floor(), Lsn(3));
        assert_eq!(spans.take_first(Lsn(12)), Some(span(3, 5)));
        assert_eq!(spans.take_first(Lsn(12)), Some(span(10, 12)));
        assert_eq!(spans.take_first(Lsn(12)), None);
        assert_eq!(spans, Spans::above(Lsn(12)));
    }

    #[test]
    fn a_record_out_of_order_is_refused() {
        assert!(Spans::from_record(vec![span(1, 2), span(3, 4)]).is_some());
        assert!(Spans::from_record(vec![span(1, 2), span(2, 4)]).is_none(), "they touch");
        assert!(Spans::from_record(vec![span(4, 4)]).is_none(), "it is empty");
    }

    /// Whatever is added and removed: the spans hold what a set of numbers holds.
    #[test]
    fn spans_hold_what_a_set_holds() {
        let mut random = 7_u64;
        let mut roll = move |sides: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % sides
        };
        let (mut spans, mut set) = (Spans::default(), BTreeSet::new());
        for _ in 0..20_000 {
            let after = roll(60);
            let one = span(after, after + roll(6));
            let numbers = one.after.0 + 1..=one.through.0;
            if roll(2) == 0 {
                spans.add(one);
                set.extend(numbers);
            } else {
                spans.remove(one);
                set.retain(|number| !numbers.contains(number));
            }
            let held = spans.as_slice().iter().flat_map(|span| span.after.0 + 1..=span.through.0);
            assert!(held.eq(set.iter().copied()));
            assert!(Spans::from_record(spans.as_slice().to_vec()).is_some(), "{spans:?}");
        }
    }
}
