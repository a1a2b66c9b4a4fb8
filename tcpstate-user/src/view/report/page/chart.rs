//! Charts, drawn by plotters as SVG. It knows no classes: colours are roles, which the style turns into the colours of
//! the light and the dark page.
use maud::{Markup, PreEscaped, html};
use plotters::{coord::Shift, prelude::*};

use super::{
    super::{
        findings::{Bucket, Percentile},
        human,
    },
    axis::Axis,
    micros,
};

/// What a colour stands for; `style.css` has the same values.
const SERIES: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const TEXT: RGBColor = RGBColor(3, 3, 3);

/// Drawn in twice the size in which it is shown, as plotters puts everything at whole pixels.
const SIZE: (u32, u32) = (800, 300);
const FONT: u32 = 25;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;
type Failed = DrawingAreaErrorKind<std::io::Error>;

/// What a chart is, in words for those who do not see it.
pub(super) struct Words<'a> {
    /// Unique in the page.
    pub(super) id: &'a str,
    /// Heading.
    pub(super) title: String,
    /// What it shows, with the numbers that matter.
    pub(super) desc: String,
}

/// The stays of a state by their length, on a logarithmic axis.
pub(super) fn distribution(words: &Words<'_>, buckets: &[Bucket]) -> Markup {
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(1);
    let edges = buckets
        .iter()
        .flat_map(|bucket| [bucket.from_us.max(1.0), bucket.to_us]);
    let Some(x) = Axis::decades(edges) else {
        return html! {};
    };
    chart(words, |area| {
        let first = x.start();
        let mut chart = frame(area, x, Axis::things(most))?;
        mesh(&mut chart, &|us| micros(*us as u64), &|count| {
            human::number(*count)
        })?;
        let held = buckets.iter().filter(|bucket| bucket.count > 0);
        chart.draw_series(held.map(|bucket| {
            let from = bucket.from_us.max(first);
            Rectangle::new(
                [(from, 0.0), (bucket.to_us, bucket.count as f64)],
                SERIES.filled(),
            )
        }))?;
        Ok(())
    })
}

/// The percentile curve of a state, both axes logarithmic: the share that is longer, and the time.
pub(super) fn percentiles(words: &Words<'_>, points: &[Percentile], count: u64) -> Markup {
    let time = |point: &Percentile| point.us.max(1) as f64;
    let Some(y) = Axis::decades(points.iter().map(time)) else {
        return html! {};
    };
    // The last percentile that this number of stays can tell.
    let last = (count as f64).max(10.0);
    chart(words, |area| {
        let mut chart = frame(area, Axis::up_to(last), y)?;
        mesh(&mut chart, &|tail| percentile(*tail), &|us| {
            micros(*us as u64)
        })?;
        let line = points.iter().map(|point| {
            let tail = 1.0 / (1.0 - point.quantile).max(1.0 / last);
            (tail, time(point))
        });
        chart.draw_series(LineSeries::new(line, SERIES.stroke_width(4)))?;
        Ok(())
    })
}

/// A line over time: at each time in seconds, a value. The area below it is tinted.
pub(super) fn over_time(
    words: &Words<'_>,
    span_s: f64,
    points: &[(f64, f64)],
    values: Axis,
    value: &dyn Fn(f64) -> String,
) -> Markup {
    if span_s <= 0.0 {
        return html! {};
    }
    chart(words, |area| {
        let mut chart = frame(area, Axis::seconds(span_s), values)?;
        mesh(&mut chart, &|s| human::duration((*s * 1e9) as u64), &|at| {
            value(*at)
        })?;
        let points = || points.iter().copied();
        chart.draw_series(AreaSeries::new(points(), 0.0, SERIES.mix(0.18)))?;
        chart.draw_series(LineSeries::new(points(), SERIES.stroke_width(3)))?;
        Ok(())
    })
}

fn frame<'a, 'b>(area: &Area<'b>, x: Axis, y: Axis) -> Result<Chart<'a, 'b>, Failed> {
    ChartBuilder::on(area)
        .margin_right(40)
        .margin_top(14)
        .x_label_area_size(44)
        .y_label_area_size(106)
        .build_cartesian_2d(x, y)
}

fn mesh(
    chart: &mut Chart<'_, '_>,
    x: &dyn Fn(&f64) -> String,
    y: &dyn Fn(&f64) -> String,
) -> Result<(), Failed> {
    let text = ("sans-serif", FONT).into_font().color(&TEXT);
    chart
        .configure_mesh()
        .axis_style(GRID)
        .bold_line_style(GRID.mix(0.45))
        .light_line_style(TRANSPARENT)
        .x_labels(8)
        .y_labels(6)
        .label_style(text)
        .x_label_formatter(x)
        .y_label_formatter(y)
        .draw()
}

/// Draws into an SVG of the page's own making; plotters' frame around it is dropped.
fn chart(words: &Words<'_>, draw: impl FnOnce(&Area<'_>) -> Result<(), Failed>) -> Markup {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    // Writing into a string fails only by what the axes of the caller make impossible, which tests rule out.
    let drawn = draw(&area).and_then(|()| area.present());
    drop(area);
    let inner = svg
        .split_once('>')
        .and_then(|(_, rest)| rest.rsplit_once("</svg>"));
    let (Ok(()), Some((inner, _))) = (drawn, inner) else {
        return html! {};
    };
    let Words { id, title, desc } = words;
    html! {
        svg class="chart" viewBox={ "0 0 " (SIZE.0) " " (SIZE.1) } role="img" aria-labelledby={ (id) "-t " (id) "-d" } {
            title id={ (id) "-t" } { (title) }
            desc id={ (id) "-d" } { (desc) }
            (PreEscaped(inner))
        }
    }
}

/// `0 %`, `90 %`, `99 %`, of one in `tail`.
fn percentile(tail: f64) -> String {
    match tail.log10().round() as usize {
        0 => "0 %".to_owned(),
        1 => "90 %".to_owned(),
        2 => "99 %".to_owned(),
        nines => format!("99.{} %", "9".repeat(nines - 2)),
    }
}
