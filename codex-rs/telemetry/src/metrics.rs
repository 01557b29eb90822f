//! Counting: one number, or one distribution, for each metric and combination of attributes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::catalog::{Instrument, METRICS, Metric};
use crate::value::Values;

/// How many combinations of attributes one metric keeps apart; the rest are counted together.
/// OpenTelemetry's default (specification/metrics/sdk.md, cardinality limits).
const MAX_SERIES: usize = 2000;

/// The attribute of the series that holds what was counted together.
pub(crate) const OVERFLOW: &str = "otel.metric.overflow";

/// Attributes that tell a series apart. `None`: what was counted together.
pub(crate) type Labels = Option<Vec<(&'static str, String)>>;

/// What a series has come to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Point {
    /// A sum.
    Sum(i64),
    /// A distribution.
    Histogram {
        /// How many values lie at or below each bound, and above the last.
        buckets: Vec<u64>,
        /// How many there are.
        count: u64,
        /// Their sum.
        sum: f64,
        /// The smallest; no number where it is not known.
        min: f64,
        /// The largest; no number where it is not known.
        max: f64,
    },
}

/// Every metric that has a value.
#[derive(Debug)]
pub(crate) struct Metrics(Mutex<Vec<BTreeMap<Labels, Point>>>);

impl Default for Metrics {
    fn default() -> Self {
        Self(Mutex::new(vec![BTreeMap::new(); METRICS.len()]))
    }
}

impl Metrics {
    fn state(&self) -> MutexGuard<'_, Vec<BTreeMap<Labels, Point>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, metric: &Metric, values: &Values, change: impl FnOnce(&mut Point)) {
        let labels = metric.attributes.iter().filter_map(|name| {
            let value = values.get(name)?;
            Some((*name, value.to_string()))
        });
        let labels: Labels = Some(labels.collect());
        let mut state = self.state();
        let Some(index) = METRICS.iter().position(|m| m.name == metric.name) else {
            return;
        };
        let series = &mut state[index];
        let labels = match series.len() < MAX_SERIES || series.contains_key(&labels) {
            true => labels,
            false => None,
        };
        change(
            series
                .entry(labels)
                .or_insert_with(|| match metric.instrument {
                    Instrument::Counter | Instrument::UpDownCounter => Point::Sum(0),
                    Instrument::Histogram(bounds) => Point::Histogram {
                        buckets: vec![0; bounds.len() + 1],
                        count: 0,
                        sum: 0.0,
                        min: f64::INFINITY,
                        max: f64::NEG_INFINITY,
                    },
                }),
        );
    }

    /// Adds to a sum.
    pub(crate) fn add(&self, metric: &Metric, by: i64, values: &Values) {
        self.with(metric, values, |point| {
            if let Point::Sum(sum) = point {
                *sum = sum.saturating_add(by);
            }
        });
    }

    /// Adds a value to a distribution.
    pub(crate) fn observe(&self, metric: &Metric, value: f64, values: &Values) {
        let Instrument::Histogram(bounds) = metric.instrument else {
            return;
        };
        self.with(metric, values, |point| {
            if let Point::Histogram {
                buckets,
                count,
                sum,
                min,
                max,
            } = point
            {
                let bucket = bounds.partition_point(|bound| *bound < value);
                buckets[bucket] += 1;
                *count += 1;
                *sum += value;
                *min = min.min(value);
                *max = max.max(value);
            }
        });
    }

    /// All that was counted so far.
    pub(crate) fn snapshot(&self) -> Vec<BTreeMap<Labels, Point>> {
        self.state().clone()
    }
}

/// Whether a metric is told as what was counted since the last time, where that is asked for. What
/// is there at a moment never is.
pub(crate) fn is_told_by_delta(metric: &Metric) -> bool {
    metric.instrument != Instrument::UpDownCounter
}

/// What was counted between two snapshots. What goes up and down stays as it is.
pub(crate) fn since(
    before: &[BTreeMap<Labels, Point>],
    now: Vec<BTreeMap<Labels, Point>>,
) -> Vec<BTreeMap<Labels, Point>> {
    let mut found = now;
    for ((metric, series), before) in METRICS.iter().zip(&mut found).zip(before) {
        if is_told_by_delta(metric) {
            series.retain(|labels, point| {
                before.get(labels).is_none_or(|before| {
                    point.subtract(before);
                    !point.is_nothing()
                })
            });
        }
    }
    found
}

impl Point {
    fn subtract(&mut self, before: &Self) {
        match (self, before) {
            (Self::Sum(sum), Self::Sum(before)) => *sum = sum.saturating_sub(*before),
            (
                Self::Histogram {
                    buckets,
                    count,
                    sum,
                    min,
                    max,
                },
                Self::Histogram {
                    buckets: buckets_before,
                    count: count_before,
                    sum: sum_before,
                    ..
                },
            ) => {
                for (bucket, before) in buckets.iter_mut().zip(buckets_before) {
                    *bucket = bucket.saturating_sub(*before);
                }
                *count = count.saturating_sub(*count_before);
                *sum -= sum_before;
                (*min, *max) = (f64::NAN, f64::NAN);
            }
            _ => {}
        }
    }

    fn is_nothing(&self) -> bool {
        matches!(self, Self::Sum(0) | Self::Histogram { count: 0, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{ACTIVE_AGENTS, AGENT, TASK_DURATION, TASKS};
    use crate::value::Value;

    fn agent(name: &str) -> Values {
        let mut values = Values::default();
        values.set(AGENT, Value::Text(name.to_owned()));
        values
    }

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let metrics = Metrics::default();
        for value in [0.1, 0.100_001, 500.0] {
            metrics.observe(&TASK_DURATION, value, &Values::default());
        }
        let Some(Point::Histogram {
            buckets,
            count,
            sum,
            min,
            max,
        }) = metrics.snapshot()[1].values().next().cloned()
        else {
            panic!("no distribution");
        };
        assert_eq!((buckets[0], buckets[1], buckets[13]), (1, 1, 1));
        assert_eq!(buckets.len(), 14);
        assert_eq!((count, min, max), (3, 0.1, 500.0));
        assert!((sum - 500.200_001).abs() < 1e-9);
    }

    #[test]
    fn what_was_counted_between_two_looks_is_told_once() {
        let metrics = Metrics::default();
        let main = agent("main");
        metrics.add(&TASKS, 2, &main);
        metrics.add(&ACTIVE_AGENTS, 1, &main);
        metrics.observe(&TASK_DURATION, 1.0, &main);
        let before = metrics.snapshot();
        metrics.add(&TASKS, 3, &main);
        metrics.add(&TASKS, 1, &agent("other"));
        metrics.observe(&TASK_DURATION, 4.0, &main);
        let found = since(&before, metrics.snapshot());
        let sums = |index: usize| -> Vec<_> { found[index].values().cloned().collect() };
        assert_eq!(sums(0), [Point::Sum(3), Point::Sum(1)]);
        assert_eq!(sums(2), [Point::Sum(1)], "what is there at a moment stays");
        let Some(Point::Histogram {
            count, sum, min, ..
        }) = found[1].values().next()
        else {
            panic!("no distribution");
        };
        assert_eq!((*count, *sum, min.is_nan()), (1, 4.0, true));
        let nothing = since(&metrics.snapshot(), metrics.snapshot());
        let left: Vec<usize> = nothing.iter().map(BTreeMap::len).collect();
        assert_eq!(left, [0, 0, 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn combinations_are_bounded_and_none_is_lost() {
        let metrics = Metrics::default();
        for n in 0..3000 {
            metrics.add(&TASKS, 1, &agent(&n.to_string()));
        }
        let series = &metrics.snapshot()[0];
        assert_eq!(series.len(), MAX_SERIES + 1);
        assert_eq!(series[&None], Point::Sum(1000));
    }
}
