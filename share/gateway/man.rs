//! The man page, made from the command line.

use std::io;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::options::Options;

/// The page.
///
/// # Errors
/// None in practice: it is written into memory.
pub fn page() -> io::Result<String> {
    let command = Options::command();
    let examples = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let man = Man::new(command)
        .source(format!("oneks {}", env!("CARGO_PKG_VERSION")))
        .manual("OpenNebula");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    let lines: Vec<String> = examples
        .lines()
        .skip(1)
        .map(|line| line.trim_start().replace('-', "\\-"))
        .collect();
    page.push_str(".SH EXAMPLES\n.nf\n");
    page.push_str(&lines.join("\n"));
    page.push_str("\n.fi\n");
    page.push_str(".SH \"SEE ALSO\"\n\\fBoneks\\fR(1)\n");
    Ok(page)
}
