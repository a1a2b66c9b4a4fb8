//! `cargo xtask page`: the page of `tcpstate report` in a real browser. It may say nothing on the console and ask for
//! nothing over the network; how it looks is for people to judge, by the pictures.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use crate::{build, command, setup, workspace};

/// Screens that the page has to look right on: width and height.
const SCREENS: [(u32, u32); 2] = [(1280, 3000), (400, 5000)];
/// Themes, with Chromium's number for each.
const THEMES: [(&str, u32); 2] = [("dark", 0), ("light", 1)];

/// Checks `file`, or the page of the demo recording.
pub(crate) fn job(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    setup::for_pages()?;
    let folder = workspace::target_dir()?.join("page");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let page = match file {
        Some(file) => file.to_owned(),
        None => of_demo(&folder)?,
    };
    let page = fs::canonicalize(&page).with_context(|| format!("no page {}", page.display()))?;
    for (width, height) in SCREENS {
        for (theme, number) in THEMES {
            let picture = folder.join(format!("{width}-{theme}.png"));
            let log = folder.join("network.json");
            look(&page, (width, height), number, &picture, &log)?;
            println!("{}", picture.display());
        }
    }
    eprintln!("page: no console message, no network request");
    Ok(ExitCode::SUCCESS)
}

/// The page of the recording that ships with the project; nobody needs to be root for it.
fn of_demo(folder: &Path) -> anyhow::Result<PathBuf> {
    let page = folder.join("report.html");
    let mut report = Command::new(build::release()?);
    report.args(["report", "--from"]);
    report.arg(workspace::root().join("docs/demo.arrows"));
    command::run(report.arg("-o").arg(&page))?;
    Ok(page)
}

/// Opens the page as Chromium shows it on a screen of `size` and in a theme, and judges what it did.
fn look(
    page: &Path,
    (width, height): (u32, u32),
    theme: u32,
    picture: &Path,
    log: &Path,
) -> anyhow::Result<()> {
    let mut browser = Command::new(setup::BROWSER);
    if command::is_root()? {
        browser.arg("--no-sandbox"); // Chromium refuses root otherwise
    }
    browser
        .args([
            "--disable-gpu",
            "--hide-scrollbars",
            "--enable-logging=stderr",
        ])
        .arg(format!("--window-size={width},{height}"))
        .arg(format!("--blink-settings=preferredColorScheme={theme}"))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("--log-net-log={}", log.display()))
        .arg(format!("file://{}", page.display()));
    let output = browser
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", setup::BROWSER))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{} failed:\n{said}",
        setup::BROWSER
    );
    let console: Vec<&str> = said
        .lines()
        .filter(|line| line.contains(":CONSOLE:"))
        .collect();
    ensure!(
        console.is_empty(),
        "the page speaks on the console:\n{}",
        console.join("\n")
    );
    let requests = requests(log)?;
    ensure!(
        requests.is_empty(),
        "the page asks the network for:\n{}",
        requests.join("\n")
    );
    Ok(())
}

/// Chromium's log of its network stack, as far as it matters here.
#[derive(Deserialize)]
struct NetLog {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    params: Params,
}

#[derive(Default, Deserialize)]
struct Params {
    url: Option<String>,
}

/// Addresses that were asked for. Files do not go through the network stack.
fn requests(log: &Path) -> anyhow::Result<Vec<String>> {
    let text = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    let log: NetLog = match serde_json::from_slice(&text) {
        Ok(log) => log,
        Err(error) => bail!("cannot understand {}: {error}", log.display()),
    };
    let urls = log.events.into_iter().filter_map(|event| event.params.url);
    let mut urls: Vec<String> = urls.filter(|url| !url.starts_with("data:")).collect();
    urls.dedup();
    Ok(urls)
}
