//! Numbers for people.

use fuzarr::store::Traffic;

/// Bytes in the unit that leaves one to four digits before the point: `1.5 KiB`.
#[must_use]
pub fn bytes(bytes: u128) -> String {
    const UNITS: [&str; 8] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];
    if bytes < 1024 {
        return if bytes == 1 { "1 byte".into() } else { format!("{bytes} bytes") };
    }
    // Tenths, rounded half up; whatever rounds to 1024.0 of a unit belongs to the next.
    let mut unit = 1_u128 << 10;
    for name in UNITS {
        let tenths = bytes / unit * 10 + (bytes % unit * 10 + unit / 2) / unit;
        if tenths < 10_240 || name == "YiB" {
            return format!("{}.{} {name}", count(tenths / 10), tenths % 10);
        }
        unit <<= 10;
    }
    count(bytes)
}

/// A number with a comma between thousands.
#[must_use]
pub fn count(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 array`, `2,000 arrays`.
#[must_use]
pub fn some(number: u128, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// What was asked over a network: `1,204 requests, 3 retried`.
#[must_use]
pub fn traffic(traffic: &Traffic) -> String {
    let Traffic { requests, retries, .. } = *traffic;
    format!("{}, {} retried", some(requests.into(), "request"), count(retries.into()))
}

/// Lengths of axes: `1,000 × 2,000`; `scalar` where there are none.
#[must_use]
pub fn shape(lengths: &[u64]) -> String {
    if lengths.is_empty() {
        return "scalar".into();
    }
    lengths.iter().map(|&length| count(length.into())).collect::<Vec<_>>().join(" × ")
}

/// How many times `stored` goes into `decoded`: `2.4×`. Counted in hundredths or tenths.
pub(super) fn ratio(decoded: u128, stored: u128) -> Option<String> {
    let hundredths = decoded.checked_mul(100)?.checked_add(stored / 2)?.checked_div(stored)?;
    Some(if hundredths < 1000 {
        format!("{}.{:02}×", hundredths / 100, hundredths % 100)
    } else {
        format!("{}.{}×", count(hundredths / 100), hundredths % 100 / 10)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_fitting_unit() {
        for (number, expected) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_524, "1,023.9 KiB"),
            (1_048_525, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u128::from(u64::MAX), "16.0 EiB"),
            (u128::MAX, "281,474,976,710,656.0 YiB"),
        ] {
            assert_eq!(bytes(number), expected);
        }
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1234567, "1,234,567")]
        {
            assert_eq!(count(number), expected);
        }
        assert_eq!(shape(&[1000, 2]), "1,000 × 2");
        assert_eq!(shape(&[]), "scalar");
    }

    #[test]
    fn ratios_are_rounded() {
        assert_eq!(ratio(300, 200).as_deref(), Some("1.50×"));
        assert_eq!(ratio(1, 3).as_deref(), Some("0.33×"));
        assert_eq!(ratio(2000, 3).as_deref(), Some("666.6×"));
        assert_eq!(ratio(1, 0), None);
    }
}
