//! What a read takes in time and money, from what it asks for.

use std::time::Duration;

use super::explain::Explanation;
use crate::limits::Limits;

/// What lies between this machine and a store, and what the store charges.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Network {
    /// The time from a request to the first byte of its answer.
    pub latency: Duration,
    /// Bytes that all answers together bring in a second; `None` if their number does not matter.
    pub bandwidth: Option<u64>,
    /// What one request costs, in any currency.
    pub price: f64,
}

/// What a read is expected to take; see [`Explanation::over`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Seconds that the store takes, the least and the most.
    pub seconds: (f64, f64),
    /// The price of the requests, the least and the most.
    pub price: (f64, f64),
}

impl Explanation {
    /// The time and money that the read takes over a network, if the store takes as many requests at
    /// the same time as `limits` allow: the latency, as often as requests wait for one another or for
    /// their turn, and the bytes at full bandwidth. Decoding, which goes on meanwhile, is not counted.
    ///
    /// Objects that are missing are asked for too. Nothing is retried.
    #[must_use]
    pub fn over(&self, network: &Network, limits: &Limits) -> Forecast {
        let one = |requests: u64, round_trips: u64, bytes: u64| {
            let parts = bytes.div_ceil(limits.tuning.part.max(1));
            let asked = requests.max(parts).saturating_add(self.missing);
            let turns = asked.div_ceil(limits.operations.max(1) as u64).max(round_trips);
            let transfer = network.bandwidth.map_or(0.0, |rate| real(bytes) / real(rate.max(1)));
            (network.latency.as_secs_f64() * real(turns) + transfer, network.price * real(asked))
        };
        let Self { requests, round_trips, fetched, .. } = *self;
        let least = one(requests.at_least, round_trips.at_least, fetched.at_least);
        let most = one(requests.at_most, round_trips.at_most, fetched.at_most);
        Forecast { seconds: (least.0, most.0), price: (least.1, most.1) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a forecast has not so many digits")]
fn real(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::super::explain::Bounds;
    use super::*;

    fn about(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-9
    }

    #[test]
    fn latency_counts_once_a_turn_and_bytes_at_full_bandwidth() {
        let network = Network {
            latency: Duration::from_millis(50),
            bandwidth: Some(100_000_000),
            price: 4e-7,
        };
        let limits = Limits { operations: 100, ..Limits::default() };
        let read = |requests, round_trips, fetched| {
            let quantity = Bounds::exactly;
            Explanation {
                requests: quantity(requests),
                round_trips: quantity(round_trips),
                fetched: quantity(fetched),
                ..Explanation::default()
            }
        };
        // A thousand chunks in ten turns; an index and a range; a large object in parts.
        for (read, seconds, requests) in [
            (read(1000, 1, 100_000_000), 10.0 * 0.05 + 1.0, 1000.0),
            (read(2, 2, 1_000_000), 2.0 * 0.05 + 0.01, 2.0),
            (read(1, 1, 512 << 20), 0.05 + f64::from(512 << 20) / 1e8, 64.0),
            (Explanation { missing: 3, ..read(0, 1, 0) }, 0.05, 3.0),
            (read(0, 0, 0), 0.0, 0.0),
        ] {
            let forecast = read.over(&network, &limits);
            assert!(about(forecast.seconds.0, seconds), "{forecast:?}, not {seconds}");
            assert!(about(forecast.price.1, requests * 4e-7), "{forecast:?}, not {requests}");
        }
        let unknown =
            Explanation { requests: Bounds { at_least: 1, at_most: 300 }, ..read(0, 1, 0) };
        let forecast = unknown.over(&Network { bandwidth: None, ..network }, &limits);
        assert!(about(forecast.seconds.0, 0.05) && about(forecast.seconds.1, 0.15));
    }
}
