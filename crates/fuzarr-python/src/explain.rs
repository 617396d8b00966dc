//! What a read takes, for Python.

use std::time::Duration;

use fuzarr::plan::{Forecast, Network};
use fuzarr::{Bounds, Explanation};
use fuzarr_cli::render;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A quantity: a number, or the least and the most that it may be.
type Quantity = (u64, u64);

fn quantity(bounds: Bounds) -> Quantity {
    (bounds.at_least, bounds.at_most)
}

/// What a read takes. Quantities that are not known without reading are pairs of the least and the
/// most that they may be.
#[pyclass(frozen, module = "fuzarr", name = "Explanation")]
#[derive(Debug)]
pub(crate) struct PyExplanation {
    pub(crate) explanation: Explanation,
    pub(crate) exact: bool,
    pub(crate) forecast: Option<Forecast>,
}

/// The network that the arguments of ``explain`` speak of; `None` if they say nothing.
///
/// # Errors
/// `ValueError` for a number that makes no sense.
pub(crate) fn network(
    latency: Option<f64>,
    bandwidth: Option<f64>,
    price: Option<f64>,
) -> PyResult<Option<Network>> {
    if latency.is_none() && bandwidth.is_none() && price.is_none() {
        return Ok(None);
    }
    let bad = |name: &str| PyValueError::new_err(format!("`{name}` is no number from 0 on"));
    let sound = |number: &f64| number.is_finite() && *number >= 0.0;
    let latency = Duration::try_from_secs_f64(latency.unwrap_or(0.0));
    let price = Some(price.unwrap_or(0.0)).filter(sound);
    let bandwidth =
        bandwidth.map(|rate| if sound(&rate) { Ok(rate) } else { Err(bad("bandwidth")) });
    Ok(Some(Network {
        latency: latency.map_err(|_| bad("latency"))?,
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        bandwidth: bandwidth.transpose()?.map(|rate| rate as u64),
        price: price.ok_or_else(|| bad("price"))?,
    }))
}

#[pymethods]
impl PyExplanation {
    /// Elements of the result.
    #[getter]
    fn elements(&self) -> u64 {
        self.explanation.elements
    }

    /// Bytes of the result.
    #[getter]
    fn bytes(&self) -> u64 {
        self.explanation.bytes
    }

    /// Stored objects (chunks or shards) that hold wanted elements.
    #[getter]
    fn objects(&self) -> u64 {
        self.explanation.objects
    }

    /// Those of them that do not exist, if the store was looked at.
    #[getter]
    fn missing(&self) -> u64 {
        self.explanation.missing
    }

    /// Chunks that hold wanted elements.
    #[getter]
    fn chunks(&self) -> u64 {
        self.explanation.chunks
    }

    /// Reads of objects or parts of them.
    #[getter]
    fn requests(&self) -> Quantity {
        quantity(self.explanation.requests)
    }

    /// Bytes read.
    #[getter]
    fn fetched(&self) -> Quantity {
        quantity(self.explanation.fetched)
    }

    /// Those of them that are wanted.
    #[getter]
    fn used(&self) -> Quantity {
        quantity(self.explanation.used)
    }

    /// Chunks that are decoded.
    #[getter]
    fn decoded(&self) -> Quantity {
        quantity(self.explanation.decoded)
    }

    /// Requests that wait for one another.
    #[getter]
    fn round_trips(&self) -> Quantity {
        quantity(self.explanation.round_trips)
    }

    /// Seconds that the store takes, the least and the most, if something was said of it.
    #[getter]
    fn seconds(&self) -> Option<(f64, f64)> {
        self.forecast.map(|forecast| forecast.seconds)
    }

    /// The price of the requests, the least and the most, if something was said of it.
    #[getter]
    fn price(&self) -> Option<(f64, f64)> {
        self.forecast.map(|forecast| forecast.price)
    }

    fn __repr__(&self) -> String {
        let text = render::explanation(&self.explanation, self.exact, self.forecast).text();
        anstream::adapter::strip_str(text.trim_end()).to_string()
    }
}
