//! Man pages, made from the definition of a command line: the options are written down once.

use std::io;

use clap::Command;
use clap_mangen::Man;

/// Every command that a user may know.
pub fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|c| !c.is_hide_set() && c.get_name() != "help")
}

/// The page of a command: what it does, its options and commands, the examples of its help, and what is put `behind`.
///
/// # Errors
/// None in practice: it is written into memory.
pub fn page(command: &Command, behind: &str) -> io::Result<String> {
    let man = Man::new(command.clone())
        .source(format!("oneks {}", env!("CARGO_PKG_VERSION")))
        .manual("OpenNebula");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if visible(command).next().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    let page = String::from_utf8_lossy(&page).into_owned();
    Ok(page + &examples(command) + behind)
}

/// What stands behind every page but that of `oneks` itself.
pub const SEE_ALSO: &str = ".SH \"SEE ALSO\"\n\\fBoneks\\fR(1)\n";

/// The examples of one command, as they stand in its help.
fn examples(command: &Command) -> String {
    let text = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let Some(lines) = text.strip_prefix("Examples:\n") else {
        return String::new();
    };
    let lines: Vec<String> = lines
        .lines()
        .map(|line| line.trim_start().replace('-', "\\-"))
        .collect();
    format!(".SH EXAMPLES\n.nf\n{}\n.fi\n", lines.join("\n"))
}
