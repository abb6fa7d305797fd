//! Wall time against the number of requests, drawn twice: for light pages and for dark ones.

use std::{error::Error, fs, path::Path};

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{
    rounds::take_turns,
    storm::{Arena, Who},
};

const SIZES: [(usize, usize); 9] = [
    (1, 21),
    (3, 21),
    (10, 21),
    (30, 21),
    (100, 31),
    (300, 31),
    (1_000, 51),
    (3_000, 31),
    (10_000, 31),
];

const SIZE: (u32, u32) = (820, 480);
const FONT: &str = "sans-serif";

/// The colours are told apart by people who see few; the background is the page's.
struct Palette {
    name: &'static str,
    text: RGBColor,
    grid: RGBColor,
    ours: RGBColor,
    ideal: RGBColor,
    mutex: RGBColor,
}

const PALETTES: [Palette; 2] = [
    Palette {
        name: "light",
        text: RGBColor(31, 35, 40),
        grid: RGBColor(216, 222, 228),
        ours: RGBColor(0, 104, 180),
        ideal: RGBColor(100, 108, 117),
        mutex: RGBColor(200, 82, 0),
    },
    Palette {
        name: "dark",
        text: RGBColor(230, 237, 243),
        grid: RGBColor(55, 62, 71),
        ours: RGBColor(88, 180, 255),
        ideal: RGBColor(158, 167, 179),
        mutex: RGBColor(255, 166, 77),
    },
];

/// The medians of one client, in milliseconds, by the number of requests.
struct Line {
    who: Who,
    points: Vec<(f64, f64)>,
}

type Drawn<T> = Result<T, Box<dyn Error>>;

/// Measure, and write both files.
pub(crate) fn draw() -> Drawn<()> {
    let lines = measure();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/plots");
    fs::create_dir_all(&folder)?;
    for palette in &PALETTES {
        let file = folder.join(format!("storm-{}.svg", palette.name));
        let area = SVGBackend::new(&file, SIZE).into_drawing_area();
        chart(&area, &lines, palette)?;
        area.present()?;
        println!("{}", file.display());
    }
    Ok(())
}

fn measure() -> Vec<Line> {
    let arena = Arena::new(1);
    // The last is drawn over the others.
    let all = [Who::Ideal, Who::Mutex, Who::Ours];
    let mut lines = all.map(|who| Line { who, points: Vec::new() });
    for (n, rounds) in SIZES {
        for times in take_turns(&all, rounds, |who, phase| arena.storm(who, n, phase)) {
            let point = (n as f64, times.median().as_secs_f64() * 1000.0);
            lines
                .iter_mut()
                .filter(|line| line.who == times.who)
                .for_each(|line| line.points.push(point));
        }
    }
    lines.into()
}

fn chart(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    lines: &[Line],
    palette: &Palette,
) -> Drawn<()> {
    let most = lines.iter().flat_map(|line| &line.points).map(|point| point.1).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(130)
        .x_label_area_size(52)
        .y_label_area_size(64)
        .build_cartesian_2d((0.9..11_000.0).log_scale(), (4.5..most * 1.15).log_scale())?;
    let small = (FONT, 15).into_font().color(&palette.text);
    for n in [1, 10, 100, 1_000, 10_000] {
        let at = f64::from(n);
        chart.draw_series([PathElement::new([(at, 4.5), (at, most * 1.15)], palette.grid)])?;
        let (x, y) = chart.backend_coord(&(at, 4.5));
        let text = match n {
            1_000.. => format!("{},000", n / 1_000),
            _ => n.to_string(),
        };
        let style = small.pos(Pos::new(HPos::Center, VPos::Top));
        area.draw(&Text::new(text, (x, y + 8), style))?;
    }
    for took in [5, 6, 8, 10, 15, 20, 30, 40, 60, 80] {
        let at = f64::from(took);
        if at > most * 1.15 {
            break;
        }
        chart.draw_series([PathElement::new([(0.9, at), (11_000.0, at)], palette.grid)])?;
        let (x, y) = chart.backend_coord(&(0.9, at));
        let style = small.pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(took.to_string(), (x - 8, y), style))?;
    }
    let centre = small.pos(Pos::new(HPos::Center, VPos::Bottom));
    let (width, height) = (SIZE.0 as i32, SIZE.1 as i32);
    area.draw(&Text::new(
        "requests in flight, all rejected at once",
        ((width - 66) / 2, height - 8),
        centre.clone(),
    ))?;
    let upright = (FONT, 15).into_font().transform(FontTransform::Rotate270).color(&palette.text);
    area.draw(&Text::new(
        "until all are answered, ms (a refresh takes 5)",
        (10, (height - 40) / 2),
        upright.pos(Pos::new(HPos::Center, VPos::Top)),
    ))?;

    let mut ends = Vec::new();
    for line in lines {
        let colour = match line.who {
            Who::Ours => palette.ours,
            Who::Mutex => palette.mutex,
            _ => palette.ideal,
        };
        let width = if line.who == Who::Ours { 3 } else { 2 };
        chart.draw_series(LineSeries::new(
            line.points.iter().copied(),
            colour.stroke_width(width),
        ))?;
        let dots = line.points.iter().copied();
        match line.who {
            Who::Ours => chart.draw_series(dots.map(|at| Circle::new(at, 5, colour.filled())))?,
            Who::Mutex => {
                chart.draw_series(dots.map(|at| TriangleMarker::new(at, 6, colour.filled())))?
            }
            _ => chart.draw_series(dots.map(|at| Cross::new(at, 5, colour.stroke_width(2))))?,
        };
        if let Some(end) = line.points.last() {
            ends.push((chart.backend_coord(end), line.who, colour));
        }
    }
    label(area, ends)
}

/// Names at the ends of the lines, pushed apart where the lines are close.
fn label(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    mut ends: Vec<((i32, i32), Who, RGBColor)>,
) -> Drawn<()> {
    const APART: i32 = 20;
    ends.sort_by_key(|end| end.0.1);
    let mut free = i32::MIN;
    for ((x, y), who, colour) in ends {
        let y = y.max(free);
        free = y + APART;
        let style = (FONT, 16).into_font().style(FontStyle::Bold).color(&colour);
        let style = style.pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(who.to_string(), (x + 14, y), style))?;
    }
    Ok(())
}
