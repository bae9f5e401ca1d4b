//! Medians, their spread, and how sure a paired comparison is.
//!
//! The machine drifts by half within seconds, so two servers are compared only through pairs taken in
//! the same round. The interval is a percentile bootstrap of the median: it assumes nothing about the
//! shape of the noise, which here has two humps (the fast and the slow phase of the host).

use super::shuffle::Shuffle;

const RESAMPLES: usize = 4000;

/// A median with the 95 % bootstrap interval around it and the number of pairs it rests on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) pairs: usize,
}

/// A median with its median absolute deviation and its extremes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) mad: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Interval {
    /// The interval of the median of `pairs`; `None` without any.
    pub(crate) fn of(pairs: &[f64], seed: u64) -> Option<Self> {
        let middle = median(pairs)?;
        let mut shuffle = Shuffle::new(seed);
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let resample: Vec<f64> =
                    pairs.iter().map(|_| pairs[shuffle.below(pairs.len())]).collect();
                median(&resample)
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        let at = |fraction: f64| medians[(fraction * (medians.len() - 1) as f64).round() as usize];
        Some(Self { median: middle, low: at(0.025), high: at(0.975), pairs: pairs.len() })
    }

    /// `1.04 [0.98-1.10]`, with a question mark where fewer than ten pairs or an interval across 1 forbid
    /// a claim.
    pub(crate) fn show(&self) -> String {
        let open = self.pairs < 10 || (self.low <= 1.0 && 1.0 <= self.high);
        let mark = if open { "?" } else { " " };
        format!("{:.3} [{:.3}-{:.3}]{mark}", self.median, self.low, self.high)
    }
}

impl Spread {
    /// `None` without values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let middle = median(values)?;
        let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
        Some(Self {
            median: middle,
            mad: median(&distances)?,
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

/// The median; `None` without values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        count if count % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}
