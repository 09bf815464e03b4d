//! `nasrl space`

use clap::Subcommand;
use nasrl_search::text::{Align, Column, table};
use nasrl_space::{Decision, Image, Space, Value};
use nasrl_tensor::random::{Key, Philox};

use crate::exit::{CommandError, CommandResult, Exit, refused};
use crate::output::{put, say};

/// Look at search spaces.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: SpaceCommand,
}

#[derive(Subcommand)]
enum SpaceCommand {
    /// List the built-in spaces.
    List,
    /// Print the decisions of a space, or the network that tokens build.
    Show {
        /// A built-in space, or a TOML file.
        #[arg(default_value = "reference")]
        space: String,
        /// Print the network of these tokens: the value of each decision, in order, separated by
        /// commas.
        #[arg(long, value_name = "VALUES")]
        tokens: Option<String>,
        /// The height, width and channels of the images that the network is for.
        #[arg(long, value_name = "HxWxC", default_value = "28x28x1", value_parser = parse_image)]
        image: Image,
        /// The number of classes that the network is for.
        #[arg(long, value_name = "N", default_value_t = 10)]
        classes: usize,
        /// Print it for other programs: the space as TOML, a network as JSON.
        #[arg(long)]
        export: bool,
    },
    /// Print how many token strings a space has.
    Count {
        /// A built-in space, or a TOML file.
        #[arg(default_value = "reference")]
        space: String,
    },
    /// Print token strings drawn uniformly, one a line.
    Sample {
        /// A built-in space, or a TOML file.
        #[arg(default_value = "reference")]
        space: String,
        /// How many.
        #[arg(long, value_name = "N", default_value_t = 1)]
        number: u64,
        /// What the draws are derived from.
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
    },
}

pub(crate) fn run(arguments: Arguments) -> CommandResult {
    match arguments.command {
        SpaceCommand::List => list()?,
        SpaceCommand::Show { space, tokens: None, export: true, .. } => {
            put!("{}", Space::open(&space).map_err(refused)?.to_toml());
        }
        SpaceCommand::Show { space, tokens: None, .. } => {
            show_decisions(&Space::open(&space).map_err(refused)?);
        }
        SpaceCommand::Show { space, tokens: Some(tokens), image, classes, export } => {
            let space = Space::open(&space).map_err(refused)?;
            let tokens = space.parse(&tokens).map_err(refused)?;
            let graph = space.build(&tokens, image, classes).map_err(refused)?;
            match export {
                true => say!("{}", graph.to_json()),
                false => put!("{}\n\n{graph}", space.describe(&tokens)),
            }
        }
        SpaceCommand::Count { space } => {
            say!("{}", Space::open(&space).map_err(refused)?.count());
        }
        SpaceCommand::Sample { space, number, seed } => {
            let space = Space::open(&space).map_err(refused)?;
            let mut stream = Philox::new(Key::new(seed, 0, "space sample"));
            for _ in 0..number {
                say!("{}", space.format(&space.sample(&mut stream)));
            }
        }
    }
    Ok(Exit::Done)
}

fn list() -> Result<(), CommandError> {
    let columns = [
        Column { title: "space", align: Align::Left },
        Column { title: "decisions", align: Align::Right },
        Column { title: "token strings", align: Align::Right },
    ];
    let mut rows = Vec::new();
    for name in Space::built_in() {
        let space = Space::open(name).map_err(refused)?;
        rows.push(vec![
            (*name).to_owned(),
            space.decisions().len().to_string(),
            space.count().to_string(),
        ]);
    }
    put!("{}", table(&columns, rows.into_iter()));
    say!("A TOML file can be given wherever a space is asked for.");
    Ok(())
}

fn show_decisions(space: &Space) {
    let columns = [
        Column { title: "position", align: Align::Right },
        Column { title: "decision", align: Align::Left },
        Column { title: "values", align: Align::Left },
    ];
    let row = |(position, decision): (usize, &Decision)| {
        let values = decision.values().iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        vec![(position + 1).to_string(), decision.name().to_owned(), values]
    };
    let decisions = space.decisions().iter().enumerate();
    say!("space {}", space.name());
    put!("{}", table(&columns, decisions.map(row)));
    say!("{} token strings", space.count());
}

/// Reads height, width and channels such as `32x32x3`.
fn parse_image(text: &str) -> Result<Image, String> {
    let numbers: Option<Vec<usize>> = text.split('x').map(|part| part.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[height, width, channels]) => Ok(Image { height, width, channels }),
        _ => Err("expected height, width and channels, such as 32x32x3".to_owned()),
    }
}
