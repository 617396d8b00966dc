//! Bars of ratios: a plot for reads, one for writes.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{
    Color as _, DrawingArea, DrawingBackend, IntoDrawingArea as _, IntoFont as _,
    IntoTextStyle as _, PathElement, RGBColor, Rectangle, SVGBackend, ShapeStyle, Text, TextStyle,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Action, Row, distinct};
use crate::engine::Result;

const WIDTH: i32 = 1000;
const LABELS: i32 = 300;
const MARGIN: i32 = 20;
const HEAD: i32 = 70;
const TITLE: i32 = 40;
const BAR: i32 = 7;
const GAP: i32 = 6;

/// What the axis shows.
const LEAST: f64 = 0.02;
const MOST: f64 = 5.0;
const TICKS: [f64; 8] = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

const TO_ZARRS: RGBColor = RGBColor(0, 114, 178);
const ONE_THREAD: RGBColor = RGBColor(86, 180, 233);
const TO_FLOOR: RGBColor = RGBColor(200, 200, 200);
const INK: RGBColor = RGBColor(40, 40, 40);
const FAINT: RGBColor = RGBColor(220, 220, 220);

const LEGEND: [(&str, RGBColor); 3] = [
    ("of zarrs (the faster of one thread and all cores)", TO_ZARRS),
    ("of zarrs, one thread each", ONE_THREAD),
    ("of the floor (bare codec)", TO_FLOOR),
];

/// Writes bars for `rows`, grouped by array.
pub(super) fn write(action: Action, rows: &[&Row], path: &Path) -> Result<()> {
    let layouts = distinct(rows, |row| row.layout);
    let count = |number: usize| i32::try_from(number);
    let height = HEAD + count(layouts.len())? * TITLE + count(rows.len())? * ROW + 2 * MARGIN;
    let size = (u32::try_from(WIDTH)?, u32::try_from(height)?);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&RGBColor(255, 255, 255)).map_err(failed)?;
    let mut page = Page { area: root, top: MARGIN };
    let title = format!("fuzarr's time to {}, as a part of others' (log scale)", action.name());
    page.head(&title)?;
    for layout in layouts {
        let of_layout: Vec<&Row> =
            rows.iter().filter(|row| row.layout == layout).copied().collect();
        page.group(layout, &of_layout)?;
    }
    page.area.present().map_err(failed)
}

/// A row with its bars.
const ROW: i32 = 3 * BAR + GAP;

/// What is being drawn, from the top to the bottom.
struct Page<B: DrawingBackend> {
    area: DrawingArea<B, Shift>,
    top: i32,
}

impl<B: DrawingBackend> Page<B>
where
    B::ErrorType: 'static,
{
    fn head(&mut self, title: &str) -> Result<()> {
        self.text(title, (MARGIN, self.top), 18, HPos::Left)?;
        let mut left = MARGIN;
        for (words, color) in LEGEND {
            self.bar((left, self.top + 32), (left + 14, self.top + 42), color)?;
            self.text(words, (left + 20, self.top + 30), 12, HPos::Left)?;
            left += 330;
        }
        self.top += HEAD;
        Ok(())
    }

    /// The rows of one array, with an axis above them.
    fn group(&mut self, layout: &str, rows: &[&Row]) -> Result<()> {
        self.text(layout, (MARGIN, self.top), 14, HPos::Left)?;
        let start = self.top + TITLE - GAP;
        let end = start + i32::try_from(rows.len())? * ROW;
        for tick in TICKS {
            let style = ShapeStyle::from(if tick == 1.0 { INK } else { FAINT }).stroke_width(1);
            let line = vec![(position(tick), start), (position(tick), end)];
            self.area.draw(&PathElement::new(line, style)).map_err(failed)?;
            self.text(&tick.to_string(), (position(tick), start - 14), 11, HPos::Center)?;
        }
        self.top += TITLE;
        for row in rows {
            self.row(row)?;
        }
        Ok(())
    }

    fn row(&mut self, row: &Row) -> Result<()> {
        let label = format!("{} · {} · {}", row.request, row.codec, row.store);
        self.text(&label, (LABELS - 10, self.top + BAR / 2), 12, HPos::Right)?;
        let ratios = row.ratios();
        let bars = [ratios.zarrs, ratios.zarrs_one_thread, ratios.floor];
        for (ratio, (_, color)) in bars.into_iter().zip(LEGEND) {
            if ratio.is_finite() {
                let (one, end) = (position(1.0), position(ratio));
                let [left, right] = [one.min(end), one.max(end)];
                self.bar((left, self.top), (right, self.top + BAR), color)?;
                self.text(&format!("{ratio:.2}"), (right + 4, self.top - 2), 9, HPos::Left)?;
            }
            self.top += BAR;
        }
        self.top += GAP;
        Ok(())
    }

    fn bar(&self, from: (i32, i32), to: (i32, i32), color: RGBColor) -> Result<()> {
        self.area.draw(&Rectangle::new([from, to], color.filled())).map_err(failed)
    }

    fn text(&self, words: &str, at: (i32, i32), size: i32, side: HPos) -> Result<()> {
        let style: TextStyle = ("sans-serif", size).into_font().into_text_style(&self.area);
        let style = style.color(&INK).pos(Pos::new(side, VPos::Top));
        self.area.draw(&Text::new(words.to_owned(), at, style)).map_err(failed)
    }
}

/// Where a ratio is on the axis.
#[expect(clippy::cast_possible_truncation, reason = "it is clamped to the width of the plot")]
fn position(ratio: f64) -> i32 {
    let part = (ratio.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln();
    LABELS + (part * f64::from(WIDTH - LABELS - 3 * MARGIN)).round() as i32
}

fn failed(error: impl std::error::Error) -> Box<dyn std::error::Error + Send + Sync> {
    error.to_string().into()
}
