//! Floating-point numbers: their decimal digits, and a format that fits all numbers of an array.

use half::f16;

/// Digits after the point at most.
const PRECISION: usize = 8;

/// A number in the type that it is stored as.
#[derive(Debug, Clone, Copy)]
pub(super) enum Float {
    Half(f16),
    Single(f32),
    Double(f64),
}

/// A complex number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Complex {
    pub(super) real: Float,
    pub(super) imaginary: Float,
}

impl Float {
    /// The value, which every type's fits exactly.
    pub(super) fn exact(self) -> f64 {
        match self {
            Self::Half(value) => value.to_f64(),
            Self::Single(value) => f64::from(value),
            Self::Double(value) => value,
        }
    }

    /// Fewest digits that no other number of the type is nearer to. The number is finite; its sign
    /// is left out.
    pub(super) fn shortest(self) -> Decimal {
        let shortest = match self {
            Self::Half(value) => return shortest_half(value),
            Self::Single(value) => format!("{:e}", value.abs()),
            Self::Double(value) => format!("{:e}", value.abs()),
        };
        let shortest = Decimal::parse(&shortest);
        // Where two decimals are equally near, NumPy takes the even one, as exact rounding does.
        let even = format!("{:.1$e}", self.size(), shortest.digits.len() - 1);
        let same = match self {
            Self::Single(value) => even.parse() == Ok(value.abs()),
            _ => even.parse() == Ok(self.size()),
        };
        if same { Decimal::parse(&even) } else { shortest }
    }

    /// From where on a scalar is written with an exponent.
    pub(super) fn largest_positional_scalar(self) -> f64 {
        match self {
            Self::Half(_) => 1e3,
            Self::Single(_) => 1e6,
            Self::Double(_) => 1e16,
        }
    }

    /// From where on an array that holds the number is written with exponents.
    fn largest_positional(self) -> f64 {
        self.largest_positional_scalar().min(1e8)
    }

    /// `0.0001` in the number's type, as NumPy compares with it.
    fn smallest_positional(self) -> f64 {
        match self {
            Self::Half(_) => f16::from_f64(0.0001).to_f64(),
            Self::Single(_) => f64::from(0.0001_f32),
            Self::Double(_) => 0.0001,
        }
    }

    /// Whether the quotient, rounded to the numbers' type as in NumPy, is more than a thousand.
    fn is_thousandfold(self, smallest: Self) -> bool {
        match (self, smallest) {
            (Self::Half(a), Self::Half(b)) => {
                f16::from_f32(a.to_f32().abs() / b.to_f32().abs()).to_f32() > 1000.0
            }
            (Self::Single(a), Self::Single(b)) => (a / b).abs() > 1000.0,
            (a, b) => (a.exact() / b.exact()).abs() > 1000.0,
        }
    }

    fn size(self) -> f64 {
        self.exact().abs()
    }
}

fn shortest_half(value: f16) -> Decimal {
    let exact = value.to_f64().abs();
    let is_same = |decimal: &Decimal| {
        let text = format!("{}e{}", decimal.mantissa(), decimal.exponent);
        text.parse().is_ok_and(|parsed| f16::from_f64(parsed).to_f64() == exact)
    };
    // Above a power of two numbers lie twice as far apart as below it: the decimal above may do
    // where the nearer one below does not. Five digits tell any two numbers apart.
    for fraction in 0..4 {
        let nearest = Decimal::parse(&format!("{exact:.fraction$e}"));
        if is_same(&nearest) {
            return nearest;
        }
        let above = nearest.next_up(fraction);
        if is_same(&above) {
            return above;
        }
    }
    Decimal::parse(&format!("{exact:.4e}"))
}

/// Decimal digits `d.ddd × 10^exponent`, without trailing zeros.
#[derive(Debug)]
pub(super) struct Decimal {
    digits: String,
    exponent: i32,
}

impl Decimal {
    /// Parses what `{:e}` writes.
    fn parse(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let digits = match digits.trim_end_matches('0') {
            "" => "0".into(),
            trimmed => trimmed.to_owned(),
        };
        Self { digits, exponent: exponent.parse().unwrap_or(0) }
    }

    /// The next decimal of `fraction` digits after the point (four at most).
    fn next_up(&self, fraction: usize) -> Self {
        let digits = format!("{:0<1$}", self.digits, fraction + 1);
        let next = (digits.parse().unwrap_or(0_u32) + 1).to_string();
        let carried = i32::from(next.len() > digits.len());
        Self { exponent: self.exponent + carried, ..Self::parse(&next) }
    }

    /// The digits with a point after the first.
    fn mantissa(&self) -> String {
        let (first, rest) = self.digits.split_at_checked(1).unwrap_or(("0", ""));
        format!("{first}.{rest}")
    }

    /// Text without exponent; whole numbers end in a point.
    pub(super) fn positional(&self) -> String {
        let Ok(whole) = usize::try_from(self.exponent) else {
            let zeros = usize::try_from(-1 - self.exponent).unwrap_or(0);
            return format!("0.{}{}", "0".repeat(zeros), self.digits);
        };
        let whole = whole + 1;
        match self.digits.split_at_checked(whole) {
            Some((whole, fraction)) => format!("{whole}.{fraction}"),
            None => format!("{}{}.", self.digits, "0".repeat(whole - self.digits.len())),
        }
    }

    /// Mantissa, with a point even after a lone digit, and exponent from the `e` on.
    pub(super) fn scientific(&self) -> (String, String) {
        (self.mantissa(), exponent(self.exponent, 2))
    }
}

fn exponent(value: i32, digits: usize) -> String {
    let sign = if value < 0 { '-' } else { '+' };
    format!("e{sign}{:0digits$}", value.unsigned_abs())
}

/// How the numbers of an array are written, so that their points align.
#[derive(Debug)]
pub(super) struct Format {
    /// Whether a `+` is written.
    signed: bool,
    /// Characters before the point.
    left: usize,
    /// Characters from after the point on.
    right: usize,
    /// Digits of the fraction and of the exponent, where exponents are written.
    scientific: Option<(usize, usize)>,
}

impl Format {
    /// The format that NumPy chooses for `values`.
    pub(super) fn fitting(values: &[Float], signed: bool) -> Self {
        let finite: Vec<Float> =
            values.iter().copied().filter(|value| value.exact().is_finite()).collect();
        let mut format = Self { signed, left: 0, right: 0, scientific: None };
        if !finite.is_empty() {
            if is_scientific(&finite) {
                format.fit_scientific(&finite);
            } else {
                format.fit_positional(&finite);
            }
        }
        if finite.len() < values.len() {
            let is_negative = |value: &Float| value.exact() == f64::NEG_INFINITY;
            let sign = usize::from(signed || values.iter().any(is_negative));
            format.left = format.left.max(("inf".len() + sign).saturating_sub(format.right + 1));
            format.left = format.left.max("nan".len().saturating_sub(format.right + 1));
        }
        format
    }

    fn fit_scientific(&mut self, values: &[Float]) {
        let (mut fraction, mut exponent) = (0, 0);
        for &value in values {
            let digits = value.shortest().digits.len() - 1;
            let (mantissa, power) = scientific(value, digits.min(PRECISION));
            fraction = fraction.max(mantissa.trim_end_matches('0').len() - "0.".len());
            exponent = exponent.max(power.unsigned_abs().to_string().len().max(2));
            self.left = self.left.max(self.sign(value).len() + 1);
        }
        self.scientific = Some((fraction, exponent));
        self.right = fraction + "e+".len() + exponent;
    }

    fn fit_positional(&mut self, values: &[Float]) {
        for &value in values {
            let text = positional(value);
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            self.left = self.left.max(self.sign(value).len() + whole.len());
            self.right = self.right.max(fraction.len());
        }
    }

    fn sign(&self, value: Float) -> &'static str {
        match (value.exact().is_sign_negative(), self.signed) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        }
    }

    /// `value` in this format.
    pub(super) fn word(&self, value: Float) -> String {
        let width = self.left + 1 + self.right;
        let exact = value.exact();
        if exact.is_nan() {
            return format!("{:>width$}", if self.signed { "+nan" } else { "nan" });
        }
        let sign = self.sign(value);
        if exact.is_infinite() {
            return format!("{:>width$}", format!("{sign}inf"));
        }
        let text = match self.scientific {
            Some((fraction, digits)) => {
                let (mantissa, power) = scientific(value, fraction);
                format!("{sign}{mantissa}{}", exponent(power, digits))
            }
            None => format!("{sign}{}", positional(value)),
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        format!("{whole:>left$}.{fraction:<right$}", left = self.left, right = self.right)
    }
}

/// Whether finite numbers are too large, too small or too far apart to be written without exponent.
fn is_scientific(values: &[Float]) -> bool {
    let numbers = || values.iter().filter(|value| value.size() != 0.0);
    let largest = numbers().max_by(|a, b| a.size().total_cmp(&b.size()));
    let smallest = numbers().min_by(|a, b| a.size().total_cmp(&b.size()));
    let (Some(largest), Some(smallest)) = (largest, smallest) else { return false };
    largest.size() >= largest.largest_positional()
        || smallest.size() < smallest.smallest_positional()
        || largest.is_thousandfold(*smallest)
}

/// Text of the size of `value` without exponent: its shortest digits, or rounded at the precision.
fn positional(value: Float) -> String {
    let shortest = value.shortest().positional();
    let fraction = shortest.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    if fraction <= PRECISION {
        // A whole number's point stays, and so does a zero in front of a fraction.
        return shortest;
    }
    format!("{:.PRECISION$}", value.size()).trim_end_matches('0').to_owned()
}

/// Mantissa with `fraction` digits after the point, and exponent, of the size of `value`. Digits
/// past the shortest are those of the exact value, not zeros.
fn scientific(value: Float, fraction: usize) -> (String, i32) {
    let shortest = value.shortest();
    if shortest.digits.len() == fraction + 1 {
        return (shortest.scientific().0, shortest.exponent);
    }
    let text = format!("{:.fraction$e}", value.size());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if mantissa.contains('.') { "" } else { "." };
    (format!("{mantissa}{point}"), exponent.parse().unwrap_or(0))
}
