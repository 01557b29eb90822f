//! Which traces are sent: OpenTelemetry's samplers by their names in `OTEL_TRACES_SAMPLER`.

use crate::trace_context::{TraceId, TraceParent};

/// A sampler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sampler {
    /// Whether a parent's decision counts, where there is a parent.
    by_parent: bool,
    /// The share of the others that is sent.
    ratio: f64,
}

impl Default for Sampler {
    /// `parentbased_always_on`, as the specification says.
    fn default() -> Self {
        Self {
            by_parent: true,
            ratio: 1.0,
        }
    }
}

impl Sampler {
    /// The sampler of this name; `argument` is the ratio of those that have one, 1 by default.
    pub(crate) fn parse(name: &str, argument: Option<&str>) -> Option<Self> {
        let (by_parent, kind) = match name.strip_prefix("parentbased_") {
            Some(kind) => (true, kind),
            None => (false, name),
        };
        let ratio = match kind {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => match argument {
                Some(text) => text.parse().ok().filter(|r| (0.0..=1.0).contains(r))?,
                None => 1.0,
            },
            _ => return None,
        };
        Some(Self { by_parent, ratio })
    }

    /// Whether the spans of a trace are sent.
    pub(crate) fn samples(self, trace: TraceId, parent: Option<TraceParent>) -> bool {
        match parent {
            Some(parent) if self.by_parent => parent.sampled,
            _ => self.ratio >= 1.0 || share(trace) < self.ratio,
        }
    }
}

/// Where a trace's id lies between the least and the greatest: the last seven bytes are those that
/// W3C Trace Context, level 2, has random.
fn share(trace: TraceId) -> f64 {
    let mut bytes = [0; 8];
    bytes[1..].copy_from_slice(&trace.0[9..]);
    // Exact enough: a `f64` holds 53 of the 56 bits.
    u64::from_be_bytes(bytes) as f64 / (1_u64 << 56) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_are_those_of_the_specification() {
        let parent = |flags: &str| {
            TraceParent::parse(&format!(
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}"
            ))
        };
        let decides = |name: &str, argument| {
            let sampler = Sampler::parse(name, argument).unwrap();
            let trace = parent("01").unwrap().trace;
            ["00", "01", ""].map(|flags| sampler.samples(trace, parent(flags)))
        };
        let (yes, no) = (true, false);
        for (name, argument, expected) in [
            ("parentbased_always_on", None, [no, yes, yes]),
            ("parentbased_always_off", None, [no, yes, no]),
            ("always_on", None, [yes, yes, yes]),
            ("always_off", None, [no, no, no]),
            ("traceidratio", Some("0"), [no, no, no]),
            ("traceidratio", None, [yes, yes, yes]),
            ("parentbased_traceidratio", Some("0"), [no, yes, no]),
        ] {
            assert_eq!(decides(name, argument), expected, "{name} {argument:?}");
        }
        assert_eq!(
            Sampler::parse("parentbased_always_on", None),
            Some(Sampler::default())
        );
        for (name, argument) in [("jaeger_remote", None), ("traceidratio", Some("2"))] {
            assert_eq!(Sampler::parse(name, argument), None);
        }
    }

    #[test]
    fn a_ratio_is_a_share_of_traces() {
        let sampler = Sampler::parse("traceidratio", Some("0.25")).unwrap();
        let sampled = (0..10_000).filter(|_| sampler.samples(TraceId::random(), None));
        let sampled = sampled.count();
        // Ten standard deviations of a binomial distribution lie within.
        assert!((2_050..2_950).contains(&sampled), "{sampled}");
    }
}
