// SPDX-License-Identifier: GPL-2.0

//! Writes what is made from the command line: manual pages and completions.
//!
//! usage: cargo run --example pages -- FOLDER

use clap::CommandFactory;
use clap_complete::{generate_to, Shell};
use clap_mangen::Man;
use dmloop::cli::Cli;
use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Sections of dmloop(8) that the command line does not know.
const MORE: &str = include_str!("../dmloop.8.in");

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("usage: pages FOLDER"))?;
    let mut command = Cli::command();
    command.build();
    pages(&command, &folder.join("man"))?;
    let completions = folder.join("completions");
    fs::create_dir_all(&completions)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut Cli::command(), "dmloop", &completions)?;
    }
    Ok(())
}

/// dmloop(8), and dmloop-COMMAND(8) of each command.
fn pages(command: &clap::Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut page = fs::File::create(folder.join("dmloop.8"))?;
    let man = Man::new(command.clone()).section("8").manual("dm-loop");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    page.write_all(MORE.as_bytes())?;
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        let name = format!("dmloop-{}", sub.get_name());
        let mut page = fs::File::create(folder.join(format!("{name}.8")))?;
        // It has the name with the hyphen already, as its display name.
        Man::new(sub.clone())
            .section("8")
            .manual("dm-loop")
            .render(&mut page)?;
    }
    Ok(())
}
