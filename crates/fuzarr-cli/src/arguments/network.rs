//! What a store is taken to be like.

use super::size;
use clap::Args;
use fuzarr::plan::Network;
use std::time::Duration;

/// Where a forecast is asked for: a network and its prices.
#[derive(Debug, Default, Args)]
pub struct NetworkArguments {
    /// Forecast the time too, for a store that answers after so many milliseconds.
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    pub latency: Option<Duration>,
    /// And that sends so many bytes a second, as in 100MB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub bandwidth: Option<u64>,
    /// Forecast the price too, if a thousand requests cost so much.
    #[arg(long, value_name = "PRICE", value_parser = price)]
    pub price: Option<f64>,
}

impl NetworkArguments {
    /// The network, if anything was said of it.
    #[must_use]
    pub fn network(&self) -> Option<Network> {
        let Self { latency, bandwidth, price } = *self;
        (latency.is_some() || bandwidth.is_some() || price.is_some()).then(|| Network {
            latency: latency.unwrap_or_default(),
            bandwidth,
            price: price.unwrap_or_default() / 1000.0,
        })
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let number = text.trim().trim_end_matches("ms").trim_end().parse::<f64>().ok();
    number
        .and_then(|number| Duration::try_from_secs_f64(number / 1000.0).ok())
        .ok_or_else(|| format!("`{text}` is not a time; write milliseconds, as in 50"))
}

fn price(text: &str) -> Result<f64, String> {
    let price = text.parse().ok().filter(|price: &f64| price.is_finite() && *price >= 0.0);
    price.ok_or_else(|| format!("`{text}` is not a price; write it as in 0.0004"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_prices_are_numbers_that_make_sense() {
        assert_eq!(milliseconds("50"), Ok(Duration::from_millis(50)));
        assert_eq!(milliseconds("0.1 ms"), Ok(Duration::from_micros(100)));
        assert!(milliseconds("-1").is_err() && milliseconds("NaN").is_err());
        assert!(milliseconds("50s").is_err());
        assert_eq!(price("0.0004"), Ok(0.0004));
        assert!(price("-1").is_err() && price("inf").is_err() && price("$1").is_err());
    }

    #[test]
    fn nothing_said_is_no_network() {
        assert_eq!(NetworkArguments::default().network(), None);
        let said = NetworkArguments { price: Some(0.4), ..NetworkArguments::default() };
        assert_eq!(said.network().map(|network| network.price), Some(0.0004));
    }
}
