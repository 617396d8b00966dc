//! One line of the results, and what is to be said of it.

use crate::engine::{Family, Name, Place};
use crate::measure::Times;
use crate::workload::{Change, Codec, Layout, Request};

/// What was timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Read,
    Write,
}

impl Action {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// What fuzarr is to reach, beside not being behind zarrs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Nothing more.
    Ahead,
    /// A fifth of zarrs' time.
    FiveTimes,
    /// 1.15 of the bare codec's time.
    Codec,
}

/// Medians this far apart may be so by chance.
const NOISE: f64 = 1.05;

/// The most of zarrs' time that tiny chunks may take.
const TINY_GOAL: f64 = 0.2;

/// The most of the bare codec's time that may be taken.
const CODEC_GOAL: f64 = 1.15;

/// One line.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) action: Action,
    pub(crate) codec: &'static str,
    pub(crate) layout: &'static str,
    /// What is read or written.
    pub(crate) request: &'static str,
    pub(crate) store: &'static str,
    pub(crate) goal: Goal,
    pub(crate) times: Vec<Times>,
}

/// fuzarr's median, on all cores, by that of others; NaN where one is missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratios {
    /// By the faster of zarrs on one thread and on all cores.
    pub(crate) zarrs: f64,
    /// On one thread each.
    pub(crate) zarrs_one_thread: f64,
    /// By the faster of the floors.
    pub(crate) floor: f64,
    /// By fuzarr's own on one thread.
    pub(crate) own_one_thread: f64,
}

impl Row {
    pub(crate) fn read(layout: &Layout, codec: Codec, request: Request, place: Place) -> Self {
        let goal = match (layout.is_tiny(), codec) {
            (true, _) => Goal::FiveTimes,
            (false, Codec::Raw) => Goal::Ahead,
            (false, _) => Goal::Codec,
        };
        Self::new(Action::Read, (layout, codec), request.name(), place, goal)
    }

    pub(crate) fn write(layout: &Layout, codec: Codec, change: Change, place: Place) -> Self {
        let goal = match (place, change) {
            (Place::AsTheyCome | Place::Synced, _) => Goal::Ahead,
            _ if layout.is_tiny() => Goal::FiveTimes,
            (_, Change::Whole) if codec != Codec::Raw => Goal::Codec,
            _ => Goal::Ahead,
        };
        Self::new(Action::Write, (layout, codec), change.name(), place, goal)
    }

    fn new(
        action: Action,
        (layout, codec): (&Layout, Codec),
        request: &'static str,
        place: Place,
        goal: Goal,
    ) -> Self {
        let [codec, layout, store] = [codec.name(), layout.name, place.name()];
        Self { action, codec, layout, request, store, goal, times: Vec::new() }
    }

    pub(crate) fn name(&self) -> String {
        let Self { codec, layout, request, store, .. } = self;
        format!("{} {codec} {layout} {request} {store}", self.action.name())
    }

    /// The least median of the engines that `which` picks.
    pub(crate) fn median(&self, which: impl Fn(&Name) -> bool) -> f64 {
        let picked = self.times.iter().filter(|times| which(&times.engine));
        picked.map(Times::median).fold(f64::NAN, f64::min)
    }

    /// fuzarr's, as it comes.
    pub(crate) fn fuzarr(&self) -> f64 {
        let usual = |name: &Name| name.family == Family::Fuzarr && name.variant != IN_PLACE;
        let most = self.times.iter().map(|times| &times.engine).filter(|name| usual(name));
        let most = most.map(|name| name.threads).max().unwrap_or(1);
        self.median(|name| usual(name) && name.threads == most)
    }

    /// The best of zarrs, as it comes or with the store that the row is about.
    pub(crate) fn zarrs(&self) -> f64 {
        self.median(|name| name.family == Family::Zarrs && name.variant != PARTIAL)
    }

    pub(crate) fn floor(&self) -> f64 {
        self.median(|name| name.family == Family::Floor)
    }

    pub(crate) fn ratios(&self) -> Ratios {
        let fuzarr = self.fuzarr();
        let one = |family: Family| self.median(|name| name.family == family && name.threads == 1);
        Ratios {
            zarrs: fuzarr / self.zarrs(),
            zarrs_one_thread: one(Family::Fuzarr) / one(Family::Zarrs),
            floor: fuzarr / self.floor(),
            own_one_thread: fuzarr / one(Family::Fuzarr),
        }
    }

    /// Ways to change shards in place that no reader and no crash is safe from, by fuzarr's usual
    /// way: fuzarr's and zarrs'.
    pub(crate) fn in_place(&self) -> [f64; 2] {
        [IN_PLACE, PARTIAL].map(|variant| self.median(|name| name.variant == variant))
    }

    /// Whether the goal beside not being behind is reached.
    pub(crate) fn reaches_goal(&self) -> bool {
        let ratios = self.ratios();
        match self.goal {
            Goal::Ahead => true,
            Goal::FiveTimes => ratios.zarrs <= TINY_GOAL,
            Goal::Codec => ratios.floor <= CODEC_GOAL,
        }
    }

    /// Where fuzarr is behind or misses the row's goal.
    pub(crate) fn marks(&self) -> Vec<String> {
        let ratios = self.ratios();
        let mut marks = Vec::new();
        if ratios.zarrs > NOISE {
            marks.push(format!("behind zarrs, {:.2}", ratios.zarrs));
        }
        match self.goal {
            _ if self.reaches_goal() => {}
            Goal::Ahead => {}
            Goal::FiveTimes if ratios.floor <= CODEC_GOAL => {
                marks.push(format!("{:.1}×, at the floor", 1.0 / ratios.zarrs));
            }
            Goal::FiveTimes => marks.push(format!("under 5×: {:.1}×", 1.0 / ratios.zarrs)),
            Goal::Codec => marks.push(format!("over 1.15 of the codec: {:.2}", ratios.floor)),
        }
        if ratios.own_one_thread > NOISE * NOISE {
            marks.push(format!("slower than on one thread, {:.2}", ratios.own_one_thread));
        }
        marks
    }
}

/// The variant of fuzarr that changes objects in place.
const IN_PLACE: &str = "in place";

/// The variant of zarrs that does.
const PARTIAL: &str = "partial encoding";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::LAYOUTS;

    fn times(family: Family, threads: usize, variant: &'static str, median: f64) -> Times {
        Times::new(Name { family, threads, variant }, vec![median * 2.0, median, median / 2.0])
    }

    #[test]
    fn ratios_are_of_the_usual_ways_and_misses_are_marked() {
        let mut row = Row::write(&LAYOUTS[1], Codec::Zstd, Change::Whole, Place::Memory);
        row.times = vec![
            times(Family::Floor, 1, "", 8.0),
            times(Family::Floor, 2, "", 5.0),
            times(Family::Fuzarr, 1, "", 9.0),
            times(Family::Fuzarr, 2, "", 6.0),
            times(Family::Fuzarr, 2, IN_PLACE, 1.0),
            times(Family::Zarrs, 1, "", 3.0),
            times(Family::Zarrs, 2, "", 4.0),
            times(Family::Zarrs, 2, PARTIAL, 0.5),
        ];
        let Ratios { zarrs, zarrs_one_thread, floor, own_one_thread } = row.ratios();
        assert_eq!([zarrs, zarrs_one_thread, floor], [2.0, 3.0, 1.2]);
        assert!((own_one_thread - 6.0 / 9.0).abs() < 1e-9);
        assert_eq!(row.in_place(), [1.0, 0.5]);
        assert_eq!(row.marks(), ["behind zarrs, 2.00", "over 1.15 of the codec: 1.20"]);
    }

    #[test]
    fn tiny_chunks_are_to_be_five_times_as_fast() {
        let mut row = Row::read(&LAYOUTS[3], Codec::Raw, Request::Whole, Place::Local);
        let with = |fuzarr, floor| {
            vec![
                times(Family::Floor, 1, "", floor),
                times(Family::Fuzarr, 1, "", fuzarr),
                times(Family::Zarrs, 1, "", 10.0),
            ]
        };
        row.times = with(4.0, 2.0);
        assert_eq!(row.marks(), ["under 5×: 2.5×"]);
        row.times = with(4.0, 3.9);
        assert_eq!(row.marks(), ["2.5×, at the floor"]);
        row.times = with(1.9, 1.0);
        assert!(row.marks().is_empty());
    }
}
