//! Axes with ticks at round values, linear or logarithmic, as plotters takes them.
use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

/// An axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    range: Range<f64>,
    logarithmic: bool,
    ticks: Vec<f64>,
}

impl Axis {
    /// From 0 to a little above `most` things, at least one: ticks at nothing, about half and all.
    pub(super) fn things(most: u64) -> Self {
        let most = most.max(1);
        let mut ticks = vec![0.0, (most / 2) as f64, most as f64];
        ticks.dedup();
        Self::linear(most as f64 * 1.05, ticks)
    }

    /// From 0 to a little above `most`, which is not 0: ticks at nothing, half and all.
    pub(super) fn amount(most: f64) -> Self {
        Self::linear(most * 1.05, vec![0.0, most / 2.0, most])
    }

    /// `span` seconds, with at most seven ticks.
    pub(super) fn seconds(span: f64) -> Self {
        const STEPS: [f64; 21] = [
            0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0,
            1200.0, 1800.0, 3600.0, 7200.0, 14_400.0, 43_200.0, 86_400.0,
        ];
        let mut fitting = STEPS.into_iter().filter(|step| span / step <= 6.0);
        let step = fitting.next().unwrap_or(span / 4.0);
        let ticks = (0..).map(|number| f64::from(number) * step);
        Self::linear(span, ticks.take_while(|time| *time <= span).collect())
    }

    /// The decades that hold all of `values`, at least one; `None` without values.
    pub(super) fn decades(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (least, most) = values.fold((f64::INFINITY, 0.0), |(least, most), value| {
            (value.min(least), value.max(most))
        });
        if most < least {
            return None;
        }
        // An error of rounding makes no further decade.
        let first = (least.log10() + 1e-9).floor() as i32;
        let last = ((most.log10() - 1e-9).ceil() as i32).max(first + 1);
        Some(Self::powers(first..last, 10f64.powi(last)))
    }

    /// From 1 to `most`, by decades.
    pub(super) fn up_to(most: f64) -> Self {
        Self::powers(0..(most.log10() + 1e-9).floor() as i32, most)
    }

    fn powers(Range { start, end }: Range<i32>, most: f64) -> Self {
        Self {
            range: 10f64.powi(start)..most,
            logarithmic: true,
            ticks: (start..=end).map(|power| 10f64.powi(power)).collect(),
        }
    }

    fn linear(most: f64, ticks: Vec<f64>) -> Self {
        Self {
            range: 0.0..most,
            logarithmic: false,
            ticks,
        }
    }

    /// Where it begins.
    pub(super) fn start(&self) -> f64 {
        self.range.start
    }

    fn place(&self, value: f64) -> f64 {
        if self.logarithmic {
            value.log10()
        } else {
            value
        }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let (start, end) = (self.place(self.range.start), self.place(self.range.end));
        let share = (self.place(*value) - start) / (end - start);
        from + (f64::from(to - from) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Every second or third one where all have no room.
        let every = self.ticks.len().div_ceil(hint.max_num_points().max(1));
        self.ticks.iter().copied().step_by(every.max(1)).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}
