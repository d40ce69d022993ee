//! `oneks simulate`: the whole life of a cluster in an OpenNebula in memory, with the hooks' own code, in virtual time.

mod fault;
mod mortal;
mod stage;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::app::App;
use crate::commands::create::pair;
use crate::commands::create::read_file;
use crate::commands::upgrade::version;
use crate::complete;
use crate::failure::Failure;
use crate::{format, perspective, time, validate};
use clap_complete::ArgValueCandidates;
use fault::Fault;
use stage::{Moment, Stage};

/// Run the life of a cluster in an OpenNebula in memory and print what happens when
///
/// The specification is created, brought up, changed as the options say, and deleted, by the installed drivers and
/// profiles and by the code of the hooks. Time is virtual: an hour takes seconds. Your cloud is not touched; the cluster
/// is placed in networks and a datastore of the cloud in memory.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  oneks simulate cluster.yaml
  # Bigger, newer, and with things that go wrong
  oneks simulate cluster.yaml --scale workers=5 --upgrade v1.34.2 --fault lose-events=30 --fault boot=workers
  oneks simulate cluster.yaml --keep --json")]
pub struct Simulate {
    /// The specification, JSON or YAML
    file: PathBuf,
    /// Then bring a node group to this size; may be repeated
    #[arg(long, value_name = "NODEGROUP=NUMBER", value_parser = pair)]
    scale: Vec<(String, String)>,
    /// Then bring it to this version
    #[arg(long, value_name = "VERSION", add = ArgValueCandidates::new(complete::versions))]
    upgrade: Option<String>,
    /// Don't delete it in the end
    #[arg(long)]
    keep: bool,
    /// Something that goes wrong; may be repeated
    ///
    /// lose-events=PERCENT, duplicate-events=PERCENT, shuffle-events; kill-hooks=PERCENT: so many runs of a hook end in
    /// the middle, before or after a call; boot=NAME: machines with NAME in their name fail to boot, once, or N times with NAME*N; call=METHOD: a call such as one.vm.allocate fails, once or N times;
    /// poweroff=NAME: a machine is switched off once the cluster runs; no-capacity: no host has room.
    #[arg(long = "fault", value_name = "FAULT", value_parser = Fault::parse)]
    faults: Vec<Fault>,
    /// Seed of everything that is random
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Folder of the drivers, if not the installed one
    #[arg(long, value_name = "DIR")]
    drivers: Option<PathBuf>,
    /// Write JSON in the end instead of lines on the way
    #[arg(short, long)]
    json: bool,
}

impl Simulate {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let mut spec = read_file(&self.file)?;
        spec.remove("name");
        let mut spec = Value::Object(spec);
        spec["deployment"] = Stage::deployment();
        validate::check(app, &spec.to_string(), None)?;
        let mut layout = app.installation();
        if let Some(drivers) = &self.drivers {
            layout.drivers.clone_from(drivers);
        }
        perspective::installed(&layout)?;
        let mut stage = Stage::set(layout, self.seed, &self.faults)?;
        let lines = !self.json;
        let mut moments = Vec::new();
        let mut tell = |app: &mut App, moment: Moment| -> Result<(), Failure> {
            if lines {
                let at = format!("+{}", time::length(moment.at));
                app.out
                    .line(&format!("{at:>9}  {}", crate::table::one_line(&moment.text)))?;
            }
            moments.push(json!({"at": moment.at, "text": moment.text}));
            Ok(())
        };
        let result = self.play(&mut stage, &spec, |moment| tell(app, moment));
        let report = stage.report();
        let failure = match result {
            Ok(()) => None,
            Err(Failure::ClosedPipe) => return Err(Failure::ClosedPipe),
            Err(failure) => Some(failure),
        };
        if self.json {
            let value = json!({
                "result": failure.as_ref().map_or_else(|| "done".to_owned(), ToString::to_string),
                "timeline": moments,
                "seconds": report.seconds,
                "calls": report.calls,
                "killed": report.killed,
                "left_over": report.left_over,
            });
            app.out.line(&format::pretty(&value))?;
        } else {
            let calls: usize = report.calls.values().sum();
            let left = if self.keep {
                String::new()
            } else if report.left_over.is_empty() {
                ", nothing is left".to_owned()
            } else {
                format!(", left behind: {}", report.left_over.join(", "))
            };
            let killed = match report.killed {
                0 => String::new(),
                killed => format!(", {killed} hooks killed"),
            };
            app.out.line(&format!(
                "\n{} of virtual time, {calls} calls{killed}{left}",
                time::length(report.seconds)
            ))?;
        }
        failure.map_or(Ok(()), Err)
    }

    fn play(
        &self,
        stage: &mut Stage,
        spec: &Value,
        mut tell: impl FnMut(Moment) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        tell(stage.moment("create the cluster"))?;
        stage.create(spec)?;
        stage.until_running(&mut tell)?;
        let mut spec = spec.clone();
        for (group, count) in &self.scale {
            let count: u32 = count
                .parse()
                .map_err(|_| Failure::Usage(format!("--scale {group}: {count} is no number")))?;
            let groups = spec["node_groups"].as_array_mut().into_iter().flatten();
            let Some(entry) = groups.into_iter().find(|g| g["name"] == *group) else {
                return Err(Failure::NotFound(format!(
                    "--scale: there is no node group {group}"
                )));
            };
            oneks::orders::edit::set_input(entry, "count", json!(count));
            tell(stage.moment(&format!("scale {group} to {count}")))?;
            stage.write(&spec)?;
            stage.until_running(&mut tell)?;
        }
        if let Some(new) = &self.upgrade {
            let new = version(new);
            tell(stage.moment(&format!("upgrade to {new}")))?;
            spec["kubernetes_version"] = json!(new);
            stage.write(&spec)?;
            stage.until_running(&mut tell)?;
        }
        for part in self.faults.iter().filter_map(Fault::poweroff) {
            let vm = stage.power_off(part)?;
            tell(stage.moment(&format!("{vm} is switched off on its host")))?;
            stage.until_running(&mut tell)?;
        }
        if self.keep {
            return Ok(());
        }
        tell(stage.moment("delete the cluster"))?;
        stage.delete()?;
        stage.until_gone(&mut tell)
    }
}
